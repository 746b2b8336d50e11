// SPDX-License-Identifier: Apache-2.0
// The functions of this shim are inline; a C target needs one source file.
#include "CX86Native.h"
