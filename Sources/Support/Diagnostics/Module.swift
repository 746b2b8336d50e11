// SPDX-License-Identifier: Apache-2.0

// Diagnostics: Errors written for people, warnings, log categories and trace points.
