// SPDX-License-Identifier: Apache-2.0
//
// Linked into a program that runs for a millisecond: see CQuickStart.c. There is nothing to call.
#ifndef ROOST_CQUICKSTART_H
#define ROOST_CQUICKSTART_H
#endif
