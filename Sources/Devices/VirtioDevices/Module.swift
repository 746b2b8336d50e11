// SPDX-License-Identifier: Apache-2.0

// VirtioDevices: block, net, console, rng and balloon.
