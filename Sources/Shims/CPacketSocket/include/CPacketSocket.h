// SPDX-License-Identifier: Apache-2.0
//
// Sockets for whole frames of one network device (packet(7)). The kernel keeps a frame's VLAN tag beside the frame, in a
// control message, which Swift cannot read. All return -1 with errno when they fail.

#ifndef ROOST_CPACKETSOCKET_H
#define ROOST_CPACKETSOCKET_H

#include <stddef.h>
#include <stdint.h>

/// A non-blocking socket that gets every frame that comes in at a device, and sends frames out of it.
int roost_packet_open(const char *device);
/// Reads a frame of at most `size` bytes. `tag` gets its tag control information, or -1 for a frame without a tag.
long roost_packet_receive(int socket, void *frame, size_t size, int *tag);
/// Sends a frame that lies in two parts.
long roost_packet_send(int socket, const void *head, size_t head_size, const void *rest, size_t rest_size);

#endif
