// SPDX-License-Identifier: Apache-2.0
// liburing.h asks for X/Open names, which would give fd_set another shape than every other module sees: the C
// library settles its features at the first include.
#include <sys/select.h>
#include <liburing.h>
