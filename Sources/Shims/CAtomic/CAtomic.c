// SPDX-License-Identifier: Apache-2.0

#include "CAtomic.h"
