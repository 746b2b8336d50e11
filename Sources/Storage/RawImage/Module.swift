// SPDX-License-Identifier: Apache-2.0

// RawImage: Raw images on files and block devices.
