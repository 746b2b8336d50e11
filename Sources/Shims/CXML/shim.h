// SPDX-License-Identifier: Apache-2.0
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <libxml/xmlerror.h>

/// xmlFree is a variable that holds a function, which Swift takes for shared mutable state.
static inline void roost_xml_free(void *text) { xmlFree(text); }
