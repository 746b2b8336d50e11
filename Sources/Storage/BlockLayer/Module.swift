// SPDX-License-Identifier: Apache-2.0

// BlockLayer: Block nodes, the graph of them, and requests against it.
