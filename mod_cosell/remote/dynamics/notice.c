/* What Dataverse posts to a webhook: the execution context of a message as DataContract JSON, taken
 * apart into the rows that it is about. Pure. (crm-apis.md A6, A16)
 *
 * Names are all that is taken, as hints: values are read from the API by whoever acts on them. The
 * body is the whole context; above 256 KB the service leaves out its parameters and images, and the
 * primary row is all there is.
 */
#include "client.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "../../base/crypto.h"
#include "../../base/json.h"
#include "../../base/time.h"

#define MOST_ROWS 200 /* of one message: they are made durable together */
#define EVENT_MOST 64

/* 256 KB of the smallest attributes have some 60,000 values; each context in another adds a level
 * to the depth, of which the platform allows eight. */
static const cs_json_limits_t limits = {1024 * 1024, 80000, 64};

typedef struct decoder_t {
    cs_crm_notice_t *notice;
    const cs_crm_request_t *request;
    const apr_array_header_t *watched;
    const json_t *context;
    apr_time_t at; /* of the row itself; 0 = unknown */
    int left_out;  /* rows beyond the bound */
    apr_pool_t *p;
} decoder_t;

/* ---- values ---- */

/* A GUID that is said; the empty one stands for none. */
static const char *guid_of(const char *text, apr_pool_t *p)
{
    return text && text[strspn(text, "0-")] ? cs_uuid_lower(text, strlen(text), p) : NULL;
}

static const char *guid_member(const json_t *obj, const char *name, apr_pool_t *p)
{
    return guid_of(cs_json_str(obj, name), p);
}

/* "/Date(1506409448000-0700)/": milliseconds of UTC; the offset is for display and does not move
 * the instant. Also a text date as elsewhere. 0 = none of these. */
static apr_time_t instant_of(const char *text)
{
    static const char before[] = "/Date(";
    apr_int64_t ms;
    apr_time_t at;
    char *end;

    if (!text) {
        return 0;
    }
    if (strncmp(text, before, sizeof(before) - 1)) {
        return cs_time_parse(&at, text) == APR_SUCCESS && at > 0 ? at : 0;
    }
    text += sizeof(before) - 1;
    if (!apr_isdigit(*text)) {
        return 0; /* before 1970: no row is that old */
    }
    ms = apr_strtoi64(text, &end, 10);
    if (*end == '+' || *end == '-') {
        end++;
        end += strspn(end, "0123456789");
    }
    if (strcmp(end, ")/") || ms <= 0 || ms > APR_INT64_C(253402300799999)) {
        return 0;
    }
    return ms * 1000;
}

/* The value of a {"key","value"} list. */
static const json_t *keyed(const json_t *list, const char *key)
{
    size_t i;

    for (i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        const char *name = cs_json_str(one, "key");

        if (name && !strcmp(name, key)) {
            return cs_json_get(one, "value");
        }
    }
    return NULL;
}

static void add_problem(decoder_t *d, const char *text)
{
    d->notice->problem =
        d->notice->problem ? apr_pstrcat(d->p, d->notice->problem, "; ", text, NULL) : text;
}

/* ---- rows ---- */

static const cs_watched_t *watched_of(const decoder_t *d, const char *table)
{
    int i;

    for (i = 0; d->watched && i < d->watched->nelts; i++) {
        const cs_watched_t *one = &APR_ARRAY_IDX(d->watched, i, const cs_watched_t);

        if (!strcmp(one->table, table)) {
            return one;
        }
    }
    return NULL;
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
            row->at = row->at ? row->at : at;
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

/* A row by the names of a reference or an entity, if its table is watched. */
static void add_named(decoder_t *d, const char *table, const char *id, int deleted, apr_time_t at)
{
    const cs_watched_t *watched = table && id ? watched_of(d, table) : NULL;

    if (watched) {
        add_row(d, watched, id, deleted, at);
    }
}

/* The record that a look-up's value points to. A look-up may lead to several tables: only a record
 * is one that the row belongs to. */
static void add_parent(decoder_t *d, const json_t *value, apr_time_t at)
{
    const char *table = cs_json_str(value, "LogicalName");
    const cs_watched_t *watched = table ? watched_of(d, table) : NULL;
    const char *id = guid_member(value, "Id", d->p);

    if (watched && watched->record && id) {
        add_row(d, watched, id, 0, at);
    }
}

/* The records that the columns of an entity say it belongs to. */
static void add_parents(decoder_t *d, const json_t *entity, const char *table)
{
    const json_t *attributes = cs_json_get(entity, "Attributes");
    const cs_watched_t *watched = table ? watched_of(d, table) : NULL;
    int i;

    for (i = 0; watched && watched->parents && i < watched->parents->nelts; i++) {
        add_parent(d, keyed(attributes, APR_ARRAY_IDX(watched->parents, i, const char *)), 0);
    }
}

/* ---- the context ---- */

/* Membership and sharing leave the row as it is. */
static int changes_the_row(const char *message)
{
    static const char *const others[] = {
        "Associate",   "Disassociate",   "AddUserToRecordTeam", "RemoveUserFromRecordTeam",
        "AddMembers",  "AddMembersTeam", "RemoveMembers",       "RemoveMembersTeam",
        "GrantAccess", "ModifyAccess",   "RevokeAccess",        NULL};
    int i;

    for (i = 0; others[i]; i++) {
        if (!strcmp(message, others[i])) {
            return 0;
        }
    }
    return 1;
}

static int is_delete(const decoder_t *d)
{
    return !strcmp(d->notice->event, "Delete") || !strcmp(d->notice->event, "DeleteMultiple");
}

/* An entity or a reference that is a parameter: the row, and where it says that it belongs. */
static void take_entity(decoder_t *d, const json_t *value, apr_time_t at)
{
    const char *table = cs_json_str(value, "LogicalName"), *id = guid_member(value, "Id", d->p);

    if (json_is_array(value) || json_is_array(cs_json_get(value, "Entities"))) {
        const json_t *list = json_is_array(value) ? value : cs_json_get(value, "Entities");
        size_t i;

        for (i = 0; i < json_array_size(list); i++) {
            const json_t *one = json_array_get(list, i);

            add_named(d, cs_json_str(one, "LogicalName"), guid_member(one, "Id", d->p),
                      is_delete(d), at);
            add_parents(d, one, cs_json_str(one, "LogicalName"));
        }
        return;
    }
    add_named(d, table, id, is_delete(d), at);
    add_parents(d, value, table);
}

/* Which parameters name rows that the message changes. Others name rows, too, and mean nothing: the
 * user that a row is assigned to does not change. */
static void take_parameters(decoder_t *d)
{
    static const char *const names[] = {
        "Target", "Targets", "EntityMoniker", "Record", "LeadId", "RelatedEntities", NULL};
    const json_t *inputs = cs_json_get(d->context, "InputParameters"), *value;
    const char *id;
    int i;

    for (i = 0; names[i]; i++) {
        value = keyed(inputs, names[i]);
        if (value) {
            take_entity(d, value, d->at);
        }
    }
    /* Winning and losing are an activity about the opportunity. */
    value = keyed(inputs, "OpportunityClose");
    add_parent(d, keyed(cs_json_get(value, "Attributes"), "opportunityid"), d->at);
    /* The row that is merged into the target. */
    id = guid_of(json_string_value(keyed(inputs, "SubordinateId")), d->p);
    value = keyed(inputs, "Target");
    add_named(d, cs_json_str(value, "LogicalName"), id, 0, d->at);
}

/* Images show the row before and after: the records it belonged and belongs to. */
static void take_images(decoder_t *d, const char *member)
{
    const json_t *images = cs_json_get(d->context, member);
    size_t i;

    for (i = 0; i < json_array_size(images); i++) {
        const json_t *entity = cs_json_get(json_array_get(images, i), "value");

        add_parents(d, entity, cs_json_str(entity, "LogicalName"));
    }
}

static void take_primary(decoder_t *d)
{
    const char *table = cs_json_str(d->context, "PrimaryEntityName"),
               *id = guid_member(d->context, "PrimaryEntityId", d->p);

    if (!id && (!strcmp(d->notice->event, "Create") || !strcmp(d->notice->event, "Upsert"))) {
        id = guid_of(json_string_value(keyed(cs_json_get(d->context, "OutputParameters"), "id")),
                     d->p);
    }
    add_named(d, table, id, is_delete(d), d->at);
}

static const json_t *modified_of(const json_t *entity)
{
    return keyed(cs_json_get(entity, "Attributes"), "modifiedon");
}

/* The row's own time of modification where the context shows it, else when the operation took
 * place; that may be a moment later than the row says, which has whole seconds. */
static apr_time_t when(const decoder_t *d)
{
    const json_t *images = cs_json_get(d->context, "PostEntityImages");
    apr_time_t at;
    size_t i;

    if (!changes_the_row(d->notice->event)) {
        return 0;
    }
    at = instant_of(json_string_value(
        modified_of(keyed(cs_json_get(d->context, "InputParameters"), "Target"))));
    for (i = 0; !at && i < json_array_size(images); i++) {
        at = instant_of(
            json_string_value(modified_of(cs_json_get(json_array_get(images, i), "value"))));
    }
    at = at ? at : instant_of(cs_json_str(d->context, "OperationCreatedOn"));
    return at - at % APR_USEC_PER_SEC;
}

/* ---- the message ---- */

static const char *header(const decoder_t *d, const char *name)
{
    return d->request->header ? d->request->header(d->request->baton, name) : NULL;
}

/* A message's name is an identifier; what is none is made harmless and bounded. */
static const char *event_of(const char *text, apr_pool_t *p)
{
    char *out = apr_pstrndup(p, text, EVENT_MOST);

    for (char *c = out; *c; c++) {
        *c = apr_isalnum(*c) || *c == '_' || *c == '.' ? *c : '?';
    }
    return out;
}

static const char *differ(const decoder_t *d, const char *what, const char *in_header,
                          const char *in_body)
{
    return apr_psprintf(d->p, "the header names the %s %s, the body %s; the body counts", what,
                        event_of(in_header, d->p), event_of(in_body, d->p));
}

/* The headers repeat two members. The body is what the platform serialized: it decides. */
static void compare_headers(decoder_t *d)
{
    const char *table = header(d, "x-ms-dynamics-entity-name"),
               *message = header(d, "x-ms-dynamics-request-name"),
               *of_body = cs_json_str(d->context, "PrimaryEntityName");

    if (table && of_body && strcasecmp(table, of_body)) {
        add_problem(d, differ(d, "table", table, of_body));
    }
    if (message && cs_json_str(d->context, "MessageName") &&
        strcasecmp(event_of(message, d->p), d->notice->event)) {
        add_problem(d, differ(d, "message", message, d->notice->event));
    }
}

/* A child row that went says nothing of its record any more, unless an image or the store does. */
static void note_size(decoder_t *d)
{
    if (header(d, "x-ms-dynamics-msg-size-exceeded")) {
        add_problem(d, "larger than the service sends: only the primary row is named");
    }
}

static apr_status_t identify(decoder_t *d, cs_result_t *res)
{
    const char *message = cs_json_str(d->context, "MessageName");

    if (!message && !cs_json_str(d->context, "PrimaryEntityName")) {
        return cs_result_set(res, d->p, CS_EPARSE, CS_CLASS_REFUSED, "dataverse:notice",
                             "the body is no execution context: MessageName and PrimaryEntityName "
                             "are missing");
    }
    message = message ? message : header(d, "x-ms-dynamics-request-name");
    d->notice->event = event_of(message && *message ? message : "?", d->p);
    d->notice->organization = guid_member(d->context, "OrganizationId", d->p);
    return APR_SUCCESS;
}

static void take_rows(decoder_t *d)
{
    d->at = when(d);
    take_primary(d);
    take_parameters(d);
    take_images(d, "PreEntityImages");
    take_images(d, "PostEntityImages");
    if (d->left_out) {
        add_problem(
            d, apr_psprintf(d->p, "more than %d rows; the others are left to the poll", MOST_ROWS));
    }
}

apr_status_t cs_dyn_notice(cs_crm_notice_t *notice, const cs_crm_request_t *request,
                           const apr_array_header_t *watched, apr_pool_t *p, cs_result_t *res)
{
    decoder_t d = {.notice = notice, .request = request, .watched = watched, .p = p};
    json_t *json = NULL;
    apr_status_t rv;

    memset(notice, 0, sizeof(*notice));
    notice->rows = apr_array_make(p, 4, sizeof(cs_crm_noticed_t));
    rv = cs_json_parse(&json, request->body, request->len, &limits, p, res);
    if (rv == APR_SUCCESS && !json_is_object(json)) {
        rv = cs_result_set(res, p, CS_EPARSE, CS_CLASS_REFUSED, "dataverse:notice",
                           "the body is not a JSON object");
    }
    d.context = json;
    if (rv == APR_SUCCESS) {
        rv = identify(&d, res);
    }
    if (rv == APR_SUCCESS) {
        compare_headers(&d);
        note_size(&d);
        take_rows(&d);
        cs_result_clear(res);
    }
    json_decref(json);
    return rv == CS_ELIMIT ? CS_EPARSE : rv;
}
