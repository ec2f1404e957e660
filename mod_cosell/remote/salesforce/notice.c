/* What Salesforce posts: outbound messages (SOAP), and the JSON of a customer's own Flow, taken
 * apart into the rows that they are about. Pure. (crm-apis.md B12, B13)
 *
 * Names are all that is taken, as hints: values are read from the API by whoever acts on them. A
 * message's session id is never looked at. A message that was sent again names rows whose looks
 * find nothing, so that nobody remembers which ones were seen.
 *
 * The JSON, an object or an array of at most 200 of them:
 *   {"id": "006...",            of 15 or 18 characters
 *    "object": "Opportunity",   or "table"; may be absent where the id tells it
 *    "deleted": true,           may be absent
 *    "organization": "00D..."}  may be absent
 * Other members are the customer's own business.
 */
#include "client.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#include "../../base/json.h"
#include "../../base/time.h"
#include "../../base/xml.h"

#define MOST_SAID 200 /* notifications of one message, objects of an array; 100 are documented */
#define MOST_ROWS 400 /* with the records that they belong to: they are made durable together */
#define MOST_NAMED 5  /* tables in a sentence */
#define SHOWN 40      /* bytes of an offending value */

#define SOAP_NS "http://schemas.xmlsoap.org/soap/envelope/"
#define OUTBOUND_NS "http://soap.sforce.com/2005/09/outbound"
#define OBJECT_NS "urn:sobject."
#define XSI_NS "http://www.w3.org/2001/XMLSchema-instance"

#define SOAP_EVENT "outbound-message"
#define JSON_EVENT "flow"
#define PROBLEM "salesforce:notice"

/* A message of 100 rows of 500 fields each. */
static const cs_xml_limits_t xml_limits = {.elements = 120000, .depth = 12, .text = 256};
static const cs_json_limits_t json_limits = {1024 * 1024, 20000, 16};

typedef struct decoder_t {
    cs_crm_notice_t *notice;
    const cs_crm_request_t *request;
    const apr_array_header_t *watched;
    int said;          /* notifications so far */
    int left_out;      /* rows beyond the bound */
    int strange;       /* rows of tables that are not watched */
    apr_array_header_t *names; /* const char *: those tables, the first ones */
    apr_pool_t *p;
} decoder_t;

/* ---- values ---- */

/* What others sent, in a sentence of ours: bounded and harmless. */
static const char *shown(const char *text, apr_pool_t *p)
{
    char *out = apr_pstrndup(p, text ? text : "", SHOWN);

    for (char *c = out; *c; c++) {
        *c = apr_isprint(*c) && *c != '"' ? *c : '?';
    }
    return out;
}

static const char id_rule[] =
    "allowed are the 15 or 18 characters of a Salesforce id, its case unchanged";

/* The standard tables whose rows can be told by the beginning of their ids. */
static const char *table_of_id(const char *id)
{
    static const char *const prefixes[][2] = {{"006", "Opportunity"}, {"00Q", "Lead"},
                                              {"001", "Account"},     {"003", "Contact"},
                                              {"005", "User"}};
    size_t i;

    for (i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        if (!strncmp(prefixes[i][0], id, 3)) {
            return prefixes[i][1];
        }
    }
    return NULL;
}

static int is_standard(const char *table)
{
    static const char *const names[] = {"Opportunity", "Lead", "Account", "Contact", "User", NULL};
    int i;

    for (i = 0; names[i] && strcasecmp(names[i], table); i++) {
    }
    return names[i] != NULL;
}

/* ---- rows ---- */

/* Names of tables are the same however they are capitalised. */
static const cs_watched_t *watched_of(const decoder_t *d, const char *table)
{
    int i;

    for (i = 0; d->watched && i < d->watched->nelts; i++) {
        const cs_watched_t *one = &APR_ARRAY_IDX(d->watched, i, const cs_watched_t);

        if (!strcasecmp(one->table, table)) {
            return one;
        }
    }
    return NULL;
}

/* The table of a record that a look-up points to: the one that the id tells, or the only one whose
 * ids tell nothing. */
static const cs_watched_t *record_of_id(const decoder_t *d, const char *id)
{
    const char *table = table_of_id(id);
    const cs_watched_t *found = table ? watched_of(d, table) : NULL;
    int i, n = 0;

    if (table) {
        return found && found->record ? found : NULL;
    }
    for (i = 0; d->watched && i < d->watched->nelts; i++) {
        const cs_watched_t *one = &APR_ARRAY_IDX(d->watched, i, const cs_watched_t);

        if (one->record && !is_standard(one->table)) {
            found = one;
            n++;
        }
    }
    return n == 1 ? found : NULL;
}

/* Once; a second mention adds what the first did not know. */
static void add_row(decoder_t *d, const cs_watched_t *watched, const char *id, int deleted,
                    apr_time_t at)
{
    cs_crm_noticed_t *row;
    int i;

    for (i = 0; i < d->notice->rows->nelts; i++) {
        row = &APR_ARRAY_IDX(d->notice->rows, i, cs_crm_noticed_t);
        if (!strcmp(row->table, watched->table) && !strcmp(row->id, id)) {
            row->deleted |= deleted;
            row->at = at > row->at ? at : row->at;
            return;
        }
    }
    if (d->notice->rows->nelts >= MOST_ROWS) {
        d->left_out++;
        return;
    }
    row = apr_array_push(d->notice->rows);
    row->table = watched->table;
    row->id = id;
    row->deleted = deleted;
    row->at = at;
}

static void add_strange(decoder_t *d, const char *table)
{
    int i;

    d->strange++;
    for (i = 0; i < d->names->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(d->names, i, const char *), shown(table, d->p))) {
            return;
        }
    }
    if (d->names->nelts < MOST_NAMED) {
        APR_ARRAY_PUSH(d->names, const char *) = shown(table, d->p);
    }
}

static void add_problem(decoder_t *d, const char *text)
{
    d->notice->problem =
        d->notice->problem ? apr_pstrcat(d->p, d->notice->problem, "; ", text, NULL) : text;
}

static void sum_up(decoder_t *d)
{
    if (d->strange) {
        add_problem(d, apr_psprintf(d->p, "%d %s of tables that no deal shows left out: %s",
                                    d->strange, d->strange == 1 ? "row" : "rows",
                                    apr_array_pstrcat(d->p, d->names, ',')));
    }
    if (d->left_out) {
        add_problem(
            d, apr_psprintf(d->p, "more than %d rows; the others are left to the poll", MOST_ROWS));
    }
}

/* ---- outbound messages ---- */

/* The row that is being told, from its start tag on. */
typedef struct object_t {
    const cs_watched_t *watched; /* NULL = its table is not watched */
    const char *table, *id;
    apr_time_t stamp, modified;  /* SystemModstamp, LastModifiedDate */
    apr_array_header_t *parents; /* const char *: ids of records that it belongs to */
} object_t;

typedef struct message_t {
    decoder_t *d;
    object_t object;
    int is_object;     /* within one */
    int seen;          /* a list of notifications was there */
    const char *field; /* whose text is being told */
} message_t;

/* Depths of what is looked at. */
enum { ENVELOPE = 1, BODY, MESSAGE, PART, OBJECT, FIELD };

static int is_element(const cs_xml_element_t *e, const char *uri, const char *name)
{
    return !strcmp(e->uri, uri) && !strcmp(e->name, name);
}

static int is_parent(const cs_watched_t *watched, const char *name)
{
    int i;

    for (i = 0; watched->parents && i < watched->parents->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(watched->parents, i, const char *), name)) {
            return 1;
        }
    }
    return 0;
}

static cs_xml_want_e start_envelope(cs_xml_t *xml, const cs_xml_element_t *e)
{
    if (!is_element(e, SOAP_NS, e->depth == ENVELOPE ? "Envelope" : "Body")) {
        if (e->depth == BODY) {
            return CS_XML_SKIP;
        }
        cs_xml_refuse(xml, "no SOAP envelope of an outbound message; allowed is Envelope of %s",
                      SOAP_NS);
    }
    return CS_XML_ENTER;
}

static cs_xml_want_e start_message(message_t *m, cs_xml_t *xml, const cs_xml_element_t *e)
{
    if (!is_element(e, OUTBOUND_NS, "notifications")) {
        cs_xml_refuse(xml, "the envelope holds \"%s\"; allowed is notifications of %s",
                      shown(e->name, m->d->p), OUTBOUND_NS);
    }
    m->seen = 1;
    return CS_XML_ENTER;
}

static cs_xml_want_e start_part(message_t *m, cs_xml_t *xml, const cs_xml_element_t *e)
{
    if (is_element(e, OUTBOUND_NS, "OrganizationId")) {
        return CS_XML_TEXT;
    }
    if (!is_element(e, OUTBOUND_NS, "Notification")) {
        return CS_XML_SKIP;
    }
    if (++m->d->said > MOST_SAID) {
        cs_xml_refuse(xml, "too many notifications; allowed are at most %d", MOST_SAID);
    }
    return CS_XML_ENTER;
}

static cs_xml_want_e start_object(message_t *m, cs_xml_t *xml, const cs_xml_element_t *e)
{
    const char *type, *table, *uri;

    if (!is_element(e, OUTBOUND_NS, "sObject")) {
        return CS_XML_SKIP;
    }
    type = cs_xml_attribute(e, XSI_NS, "type");
    table = cs_xml_qname(xml, type, &uri);
    if (!table || strncmp(uri, OBJECT_NS, sizeof(OBJECT_NS) - 1) || !cs_sf_name_valid(table)) {
        cs_xml_refuse(xml, "the sObject's xsi:type is \"%s\"; allowed is a name of %s*",
                      shown(type, m->d->p), OBJECT_NS);
        return CS_XML_SKIP;
    }
    memset(&m->object, 0, sizeof(m->object));
    m->is_object = 1;
    m->object.table = apr_pstrdup(m->d->p, table);
    m->object.watched = watched_of(m->d, table);
    m->object.parents = apr_array_make(m->d->p, 1, sizeof(const char *));
    return CS_XML_ENTER;
}

static cs_xml_want_e start_field(message_t *m, const cs_xml_element_t *e)
{
    if (!m->is_object || !m->object.watched || strncmp(e->uri, OBJECT_NS, sizeof(OBJECT_NS) - 1) ||
        (strcmp(e->name, "Id") && strcmp(e->name, "SystemModstamp") &&
         strcmp(e->name, "LastModifiedDate") && !is_parent(m->object.watched, e->name))) {
        return CS_XML_SKIP;
    }
    m->field = apr_pstrdup(m->d->p, e->name);
    return CS_XML_TEXT;
}

static cs_xml_want_e on_start(void *baton, cs_xml_t *xml, const cs_xml_element_t *e)
{
    message_t *m = baton;

    switch (e->depth) {
    case ENVELOPE:
    case BODY:
        return start_envelope(xml, e);
    case MESSAGE:
        return start_message(m, xml, e);
    case PART:
        return start_part(m, xml, e);
    case OBJECT:
        return start_object(m, xml, e);
    case FIELD:
        return start_field(m, e);
    default:
        return CS_XML_SKIP;
    }
}

static apr_time_t instant_of(const char *text)
{
    apr_time_t at;

    if (cs_time_parse(&at, text) != APR_SUCCESS || at <= 0) {
        return 0;
    }
    return at - at % APR_USEC_PER_SEC;
}

static void end_organization(message_t *m, cs_xml_t *xml, const char *text)
{
    m->d->notice->organization = cs_sf_id(text, m->d->p);
    if (!m->d->notice->organization) {
        cs_xml_refuse(xml, "OrganizationId is \"%s\"; %s", shown(text, m->d->p), id_rule);
    }
}

static void end_field(message_t *m, cs_xml_t *xml, const char *text)
{
    object_t *o = &m->object;
    const char *id;

    if (!strcmp(m->field, "SystemModstamp")) {
        o->stamp = instant_of(text);
    }
    else if (!strcmp(m->field, "LastModifiedDate")) {
        o->modified = instant_of(text);
    }
    else {
        id = cs_sf_id(text, m->d->p);
        if (!strcmp(m->field, "Id")) {
            o->id = id;
        }
        else if (id) {
            APR_ARRAY_PUSH(o->parents, const char *) = id;
        }
        if (!id && *text) {
            cs_xml_refuse(xml, "%s is \"%s\"; %s", m->field, shown(text, m->d->p), id_rule);
        }
    }
}

static void end_object(message_t *m, cs_xml_t *xml)
{
    object_t *o = &m->object;
    int i;

    m->is_object = 0;
    if (!o->watched) {
        add_strange(m->d, o->table);
        return;
    }
    if (!o->id) {
        cs_xml_refuse(xml, "the sObject has no Id");
        return;
    }
    /* A record's time of modification is when it was edited; the other one moves also without. */
    add_row(m->d, o->watched, o->id, 0, o->modified ? o->modified : o->stamp);
    for (i = 0; i < o->parents->nelts; i++) {
        const char *id = APR_ARRAY_IDX(o->parents, i, const char *);
        const cs_watched_t *record = record_of_id(m->d, id);

        if (record) {
            add_row(m->d, record, id, 0, 0);
        }
    }
}

static void on_end(void *baton, cs_xml_t *xml, int depth, const char *text)
{
    message_t *m = baton;

    if (depth == PART && text) {
        end_organization(m, xml, text);
    }
    else if (depth == FIELD && text) {
        end_field(m, xml, text);
    }
    else if (depth == OBJECT && m->is_object) {
        end_object(m, xml);
    }
    else if (depth == MESSAGE && !m->d->notice->organization) {
        cs_xml_refuse(xml, "the message has no OrganizationId");
    }
}

static apr_status_t decode_soap(decoder_t *d, cs_result_t *res)
{
    message_t m = {.d = d};
    cs_xml_reader_t reader = {on_start, on_end, &m};
    apr_status_t rv;

    d->notice->event = SOAP_EVENT;
    rv = cs_xml_parse(d->request->body, d->request->len, &xml_limits, &reader, d->p, res);
    if (rv == APR_SUCCESS && !m.seen) {
        rv = cs_result_set(res, d->p, CS_EPARSE, CS_CLASS_REFUSED, PROBLEM,
                           "the envelope holds no notifications of %s", OUTBOUND_NS);
    }
    return rv;
}

/* ---- the JSON of a Flow ---- */

static apr_status_t refuse(decoder_t *d, int at, cs_result_t *res, const char *why)
{
    return cs_result_set(res, d->p, CS_EPARSE, CS_CLASS_REFUSED, PROBLEM, "object %d: %s", at + 1,
                         why);
}

/* A text that may be absent; 0 when it is something else. */
static int text_of(const json_t *one, const char *name, const char **ptext)
{
    const json_t *value = cs_json_get(one, name);

    *ptext = json_string_value(value);
    return !value || json_is_null(value) || json_is_string(value);
}

/* NULL = good. */
static const char *take_organization(decoder_t *d, const json_t *one)
{
    const char *text, *id;

    if (!text_of(one, "organization", &text)) {
        return "\"organization\" is no text; allowed is the id of the organisation";
    }
    if (!text) {
        return NULL;
    }
    id = cs_sf_id(text, d->p);
    if (!id) {
        return apr_psprintf(d->p, "\"organization\" is \"%s\"; %s", shown(text, d->p), id_rule);
    }
    if (d->notice->organization && strcmp(d->notice->organization, id)) {
        return apr_psprintf(d->p, "\"organization\" is %s, that of another object %s", id,
                            d->notice->organization);
    }
    d->notice->organization = id;
    return NULL;
}

/* The table that the object names or its id tells; NULL = good. */
static const char *name_table(decoder_t *d, const json_t *one, const char *id, const char **ptable)
{
    const char *object, *table, *told = table_of_id(id);

    if (!text_of(one, "object", &object) || !text_of(one, "table", &table)) {
        return "\"object\" and \"table\" are texts; allowed is the API name of an object";
    }
    if (object && table && strcasecmp(object, table)) {
        return "\"object\" and \"table\" differ; one of them is enough";
    }
    object = object ? object : table;
    if (object && (!cs_sf_name_valid(object) || (told && strcasecmp(told, object)) ||
                   (!told && is_standard(object)))) {
        return apr_psprintf(d->p, "\"object\" is \"%s\", but %s is no id of one",
                            shown(object, d->p), id);
    }
    *ptable = object ? object : told;
    return *ptable ? NULL
                   : apr_psprintf(d->p,
                                  "of which object %s is cannot be told by its first characters: "
                                  "\"object\" is needed unless they are 006, 00Q, 001, 003 or 005",
                                  id);
}

static const char *take_one(decoder_t *d, const json_t *one)
{
    const char *text, *id, *table, *why;
    const json_t *deleted = cs_json_get(one, "deleted");
    const cs_watched_t *watched;

    if (!json_is_object(one)) {
        return "it is no object; allowed is {\"id\": \"006...\", \"object\": \"Opportunity\"}";
    }
    if (!text_of(one, "id", &text) || !text) {
        return "\"id\" is missing or no text; allowed are the 15 or 18 characters of a row's id";
    }
    id = cs_sf_id(text, d->p);
    if (!id) {
        return apr_psprintf(d->p, "\"id\" is \"%s\"; %s", shown(text, d->p), id_rule);
    }
    if (deleted && !json_is_boolean(deleted) && !json_is_null(deleted)) {
        return "\"deleted\" is neither true nor false";
    }
    why = take_organization(d, one);
    why = why ? why : name_table(d, one, id, &table);
    if (why) {
        return why;
    }
    watched = watched_of(d, table);
    if (watched) {
        add_row(d, watched, id, json_is_true(deleted), 0);
    }
    else {
        add_strange(d, table);
    }
    return NULL;
}

static apr_status_t take_json(decoder_t *d, const json_t *json, cs_result_t *res)
{
    const char *why;
    size_t i;

    if (!json_is_array(json)) {
        why = take_one(d, json);
        return why ? refuse(d, 0, res, why) : APR_SUCCESS;
    }
    if (json_array_size(json) > MOST_SAID) {
        return cs_result_set(res, d->p, CS_EPARSE, CS_CLASS_REFUSED, PROBLEM,
                             "an array of %d objects; allowed are at most %d",
                             (int)json_array_size(json), MOST_SAID);
    }
    for (i = 0; i < json_array_size(json); i++) {
        why = take_one(d, json_array_get(json, i));
        if (why) {
            return refuse(d, (int)i, res, why);
        }
    }
    return APR_SUCCESS;
}

static apr_status_t decode_json(decoder_t *d, cs_result_t *res)
{
    json_t *json = NULL;
    apr_status_t rv;

    d->notice->event = JSON_EVENT;
    rv = cs_json_parse(&json, d->request->body, d->request->len, &json_limits, d->p, res);
    if (rv == APR_SUCCESS) {
        rv = take_json(d, json, res);
    }
    json_decref(json);
    return rv;
}

/* ---- either ---- */

/* By the type that the sender gives, else by how it begins. */
static int is_xml(const cs_crm_request_t *request)
{
    const char *type =
        request->header ? request->header(request->baton, "Content-Type") : NULL;
    apr_size_t i = 0;

    if (type) {
        apr_size_t len = strcspn(type, "; \t");

        return len >= 3 && !strncasecmp(type + len - 3, "xml", 3);
    }
    while (i < request->len && memchr("\xef\xbb\xbf \t\r\n", request->body[i], 7)) {
        i++;
    }
    return i < request->len && request->body[i] == '<';
}

apr_status_t cs_sf_notice(cs_crm_notice_t *notice, const cs_crm_request_t *request,
                          const apr_array_header_t *watched, apr_pool_t *p, cs_result_t *res)
{
    decoder_t d = {.notice = notice, .request = request, .watched = watched, .p = p};
    apr_status_t rv;

    memset(notice, 0, sizeof(*notice));
    notice->rows = apr_array_make(p, 4, sizeof(cs_crm_noticed_t));
    d.names = apr_array_make(p, MOST_NAMED, sizeof(const char *));
    rv = is_xml(request) ? decode_soap(&d, res) : decode_json(&d, res);
    if (rv != APR_SUCCESS) {
        notice->rows->nelts = 0;
        return rv == CS_ELIMIT ? CS_EPARSE : rv;
    }
    sum_up(&d);
    cs_result_clear(res);
    return APR_SUCCESS;
}

void cs_sf_acknowledge(cs_crm_answer_t *answer, const cs_crm_notice_t *notice)
{
    static const char ack[] =
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
        "<soapenv:Envelope xmlns:soapenv=\"" SOAP_NS "\"><soapenv:Body>"
        "<notificationsResponse xmlns=\"" OUTBOUND_NS "\"><Ack>true</Ack></notificationsResponse>"
        "</soapenv:Body></soapenv:Envelope>";
    int soap = notice && notice->event && !strcmp(notice->event, SOAP_EVENT);

    answer->type = soap ? "text/xml; charset=UTF-8" : NULL;
    answer->body = soap ? ack : NULL;
}
