/* base/xml.h: the only place where XML becomes events, bounded; the only user of expat.
 *
 * Namespaces are resolved: a name is (uri, local name), uri "" for none. A DOCTYPE is refused, so
 * that there are no entities but the predefined ones and references to characters. Comments and
 * processing instructions are passed over. Text is UTF-8, whatever the document's encoding
 * (UTF-8, UTF-16, ISO-8859-1, US-ASCII). Everything handed to a handler lives for that call only.
 */
#ifndef CS_BASE_XML_H
#define CS_BASE_XML_H

#include <apr_pools.h>
#include "result.h"

/* 0 = the default named. */
typedef struct cs_xml_limits_t {
    apr_size_t bytes;    /* default 1 MiB; of the document */
    apr_size_t elements; /* default 20,000 */
    int depth;           /* default 32 */
    int attributes;      /* default 32; of one element, declarations of namespaces included */
    apr_size_t name;     /* default 512 bytes; of a name with its uri */
    apr_size_t text;     /* default 64 KiB; of one element or one attribute's value */
} cs_xml_limits_t;

typedef struct cs_xml_attribute_t {
    const char *uri, *name, *value;
} cs_xml_attribute_t;

typedef struct cs_xml_element_t {
    const char *uri, *name;
    const cs_xml_attribute_t *attributes; /* declarations of namespaces are none */
    int n;
    int depth; /* the root has 1 */
} cs_xml_element_t;

/* A parse under way. */
typedef struct cs_xml_t cs_xml_t;

typedef enum {
    CS_XML_ENTER, /* its children are told, its text is not kept */
    CS_XML_TEXT,  /* its text is wanted; it must not have children */
    CS_XML_SKIP   /* nothing in it is told or kept, nor is its end */
} cs_xml_want_e;

typedef struct cs_xml_reader_t {
    cs_xml_want_e (*start)(void *baton, cs_xml_t *xml, const cs_xml_element_t *element);
    /* text: NULL unless CS_XML_TEXT was the answer; it has no NUL within. May be NULL. */
    void (*end)(void *baton, cs_xml_t *xml, int depth, const char *text);
    void *baton;
} cs_xml_reader_t;

/* Parses exactly len bytes. CS_EPARSE or CS_ELIMIT with line, column and reason in res->detail:
 * handlers may have been called until then. */
apr_status_t cs_xml_parse(const char *text, apr_size_t len, const cs_xml_limits_t *limits,
                          const cs_xml_reader_t *reader, apr_pool_t *p, cs_result_t *res);

/* Within a handler: ends the parse with this reason, CS_EPARSE; no handler is called any more. */
void cs_xml_refuse(cs_xml_t *xml, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Within `start`: takes a value that is a qualified name ("sf:Opportunity") apart by the
 * declarations in force there. The local name, its namespace in *puri ("" = none); NULL when it is
 * no such name or its prefix is not declared. */
const char *cs_xml_qname(const cs_xml_t *xml, const char *value, const char **puri);

/* The value of an element's attribute; NULL when it has none. */
const char *cs_xml_attribute(const cs_xml_element_t *element, const char *uri, const char *name);

#endif
