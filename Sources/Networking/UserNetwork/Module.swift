// SPDX-License-Identifier: Apache-2.0

// UserNetwork: The user-mode network: DHCP, DNS, TFTP and forwarded ports, through libslirp.
