// SPDX-License-Identifier: Apache-2.0

// PacketPorts: Where frames come from and go to: tap, sockets, loopback pairs.
