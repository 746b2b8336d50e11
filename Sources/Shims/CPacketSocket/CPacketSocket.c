// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "CPacketSocket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

int roost_packet_open(const char *device) {
    unsigned index = if_nametoindex(device);
    if (index == 0) return -1;
    // Nothing is received before the socket is bound to its device.
    int made = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (made < 0) return -1;
    int on = 1;
    struct packet_mreq everything = { .mr_ifindex = (int)index, .mr_type = PACKET_MR_PROMISC };
    struct sockaddr_ll address;
    memset(&address, 0, sizeof address);
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(ETH_P_ALL);
    address.sll_ifindex = (int)index;
    if (setsockopt(made, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on) < 0
        || setsockopt(made, SOL_PACKET, PACKET_AUXDATA, &on, sizeof on) < 0
        || setsockopt(made, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &everything, sizeof everything) < 0
        || bind(made, (struct sockaddr *)&address, sizeof address) < 0) {
        int why = errno;
        close(made);
        errno = why;
        return -1;
    }
    return made;
}

long roost_packet_receive(int socket, void *frame, size_t size, int *tag) {
    char control[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
    struct iovec place = { .iov_base = frame, .iov_len = size };
    struct msghdr message = {
        .msg_iov = &place, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
    long count = recvmsg(socket, &message, 0);
    *tag = -1;
    if (count < 0) return -1;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(&message); part != NULL; part = CMSG_NXTHDR(&message, part)) {
        if (part->cmsg_level != SOL_PACKET || part->cmsg_type != PACKET_AUXDATA) continue;
        struct tpacket_auxdata data;
        memcpy(&data, CMSG_DATA(part), sizeof data);
        if (data.tp_status & TP_STATUS_VLAN_VALID) *tag = data.tp_vlan_tci;
    }
    return count;
}

long roost_packet_send(int socket, const void *head, size_t head_size, const void *rest, size_t rest_size) {
    struct iovec parts[2] = {
        { .iov_base = (void *)head, .iov_len = head_size }, { .iov_base = (void *)rest, .iov_len = rest_size } };
    struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
    return sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}
