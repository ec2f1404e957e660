/* engine/refuse_pc.c: one bad line never blocks a deal, towards Partner Center. (deals 2)
 *
 * A patch is a row to refuse.c: each path a column, the eTag its version. Two things are different
 * here. Where the CRM's record would be kept as it was when its state is refused, a referral whose
 * state is refused takes the other lines all the same; and a referral that is about to be closed
 * takes nothing afterwards, so that its state goes last. */
#include <string.h>
#include <strings.h>

#include <apr_strings.h>

#include "../base/json.h"
#include "apply.h"

struct cs_pc_refusal_t {
    apr_pool_t *p;
    cs_step_t step; /* with its parts */
    const char *id, *guard;
    const json_t *ops;
    json_t *row; /* path -> operation: all that may still be sent */
    cs_refusal_t *inner; /* NULL = everything but the state is sent in one */
    int over;
    int wrote;
    const cs_card_t *card;
    json_t *refused;
    apr_array_header_t *left;
    cs_result_t result, last;
};

/* ---- rows ---- */

static const char *path_of(const json_t *op)
{
    return cs_json_str(op, "path");
}

static json_t *row_of_ops(const json_t *ops, apr_pool_t *p)
{
    json_t *row = cs_json_own(json_object(), p), *op;
    size_t i;

    json_array_foreach((json_t *)ops, i, op) {
        if (path_of(op)) {
            json_object_set(row, path_of(op), op);
        }
    }
    return row;
}

/* The operations of these paths, in the order in which they were planned. */
static json_t *ops_of_row(const json_t *ops, const json_t *row, apr_pool_t *p)
{
    json_t *out = cs_json_own(json_array(), p), *op;
    size_t i;

    json_array_foreach((json_t *)ops, i, op) {
        if (path_of(op) && json_object_get(row, path_of(op))) {
            json_array_append(out, op);
        }
    }
    return out;
}

/* A step of one line needs no parts; here it has them all the same. */
static json_t *parts_of(const cs_step_t *step, const json_t *row, apr_pool_t *p)
{
    json_t *parts, *paths, *op;
    const char *path;

    if (step->parts || !step->lines || !step->lines->nelts) {
        return step->parts;
    }
    parts = cs_json_own(json_object(), p);
    paths = json_array();
    json_object_foreach((json_t *)row, path, op) {
        json_array_append_new(paths, json_string(path));
    }
    json_object_set_new(parts, APR_ARRAY_IDX(step->lines, 0, const char *), paths);
    return parts;
}

static int closes(const json_t *row)
{
    const char *status = cs_json_str(json_object_get(row, "/status"), "value");

    return status && !strcmp(status, "Closed");
}

/* ---- what is blamed ---- */

/* 1 when the pointer names this path, or something below it. */
static int is_below(const char *pointer, const char *path)
{
    size_t len = strlen(path);

    if (len > 2 && !strcmp(path + len - 2, "/-")) {
        len -= 2;
    }
    return !strncasecmp(pointer, path, len) && (!pointer[len] || pointer[len] == '/');
}

/* In terms of the paths of the patch; NULL = none of them is named. */
static const char *blamed_path(const json_t *row, const char *pointer)
{
    const char *path;
    json_t *op;

    if (!pointer) {
        return NULL;
    }
    json_object_foreach((json_t *)row, path, op) {
        if (is_below(pointer, path)) {
            return path;
        }
    }
    return NULL;
}

/* ---- in terms of refuse.c ---- */

static cs_crm_write_t as_row(const cs_pc_refusal_t *r, const cs_pc_write_t *write)
{
    cs_crm_write_t out;
    cs_record_t *after = apr_pcalloc(r->p, sizeof(*after));

    memset(&out, 0, sizeof(out));
    out.kind = CS_CRM_UPDATE;
    out.table = "referral";
    out.id = r->id;
    out.guard = r->guard;
    out.row = r->row;
    out.result = write->result;
    out.result.blames = blamed_path(r->row, write->result.blames);
    after->version = write->card ? write->card->etag : NULL;
    out.record = write->result.cls == CS_CLASS_OK ? after : NULL;
    return out;
}

static void begin_inner(cs_pc_refusal_t *r, const cs_pc_write_t *write)
{
    cs_crm_write_t first = as_row(r, write);

    r->inner = cs_refusal_begin(&r->step, &first, closes(r->row), r->p);
}

static void refuse(cs_pc_refusal_t *r, const char *line, const cs_result_t *result)
{
    if (!json_object_get(r->refused, line)) {
        cs_lines_add(&r->refused, line, cs_result_words(result), r->p);
    }
}

/* Nothing can be left out any more, and nothing was taken. */
static void refuse_all(cs_pc_refusal_t *r, const cs_result_t *result)
{
    int i;

    for (i = 0; r->step.lines && i < r->step.lines->nelts; ++i) {
        refuse(r, APR_ARRAY_IDX(r->step.lines, i, const char *), result);
    }
    r->over = 1;
}

static void drop_paths(json_t *row, const json_t *paths)
{
    size_t i;

    for (i = 0; i < json_array_size(paths); ++i) {
        json_object_del(row, json_string_value(json_array_get(paths, i)));
    }
}

/* What is of no line is the state's. */
static json_t *without_state(const cs_pc_refusal_t *r)
{
    json_t *row = cs_json_own(json_object(), r->p), *paths, *op;
    const char *line;
    size_t i;

    json_object_foreach(r->step.parts, line, paths) {
        for (i = 0; strcmp(line, CS_LINE_STATE) && i < json_array_size(paths); ++i) {
            const char *path = json_string_value(json_array_get(paths, i));
            op = json_object_get(r->row, path);
            if (op) {
                json_object_set(row, path, op);
            }
        }
    }
    json_object_foreach(r->refused, line, paths) {
        drop_paths(row, json_object_get(r->step.parts, line));
    }
    return row;
}

/* The state was refused, alone or with all there is. */
static void go_on_without_state(cs_pc_refusal_t *r, const cs_result_t *result)
{
    json_t *row = without_state(r);

    if (json_object_size(row) == json_object_size(r->row) || !json_object_size(row)) {
        refuse_all(r, result);
        return;
    }
    refuse(r, CS_LINE_STATE, result);
    r->row = row;
    r->inner = NULL;
}

static void end_inner(cs_pc_refusal_t *r)
{
    cs_refusal_end_t end;
    const char *line;
    json_t *why;

    cs_refusal_end(r->inner, &end);
    r->wrote |= end.wrote;
    json_object_foreach(end.refused, line, why) {
        cs_lines_add(&r->refused, line, json_string_value(why), r->p);
    }
    r->left = end.left;
    if (end.result.cls == CS_CLASS_OK) {
        r->over = 1;
    }
    else if (end.result.cls != CS_CLASS_DATA) {
        r->result = end.result;
        r->over = 1;
    }
    else if (end.wrote) {
        refuse(r, CS_LINE_STATE, &end.result); /* it went last, or with what passed without it */
        r->over = 1;
    }
    else {
        go_on_without_state(r, &end.result);
    }
}

/* ---- the door ---- */

cs_pc_refusal_t *cs_pc_refusal_begin(const cs_step_t *step, const cs_pc_write_t *write,
                                     apr_pool_t *p)
{
    cs_pc_refusal_t *r = apr_pcalloc(p, sizeof(*r));

    r->p = p;
    r->step = *step;
    r->id = write->id;
    r->guard = write->guard;
    r->ops = write->body;
    r->row = row_of_ops(write->body, p);
    r->step.parts = parts_of(step, r->row, p);
    begin_inner(r, write);
    if (!r->inner) {
        refuse_all(r, &write->result);
    }
    return r;
}

static void fill(const cs_pc_refusal_t *r, const json_t *row, const char *guard,
                 cs_pc_write_t *write)
{
    memset(write, 0, sizeof(*write));
    write->id = r->id;
    write->guard = guard;
    write->body = ops_of_row(r->ops, row, r->p);
}

int cs_pc_refusal_next(cs_pc_refusal_t *r, cs_pc_write_t *write)
{
    cs_crm_write_t row;

    if (!r->over && r->inner && !cs_refusal_next(r->inner, &row)) {
        end_inner(r);
    }
    else if (!r->over && r->inner) {
        fill(r, row.row, row.guard, write);
        return 1;
    }
    if (!r->over) {
        fill(r, r->row, r->guard, write);
    }
    return !r->over;
}

void cs_pc_refusal_take(cs_pc_refusal_t *r, const cs_pc_write_t *write)
{
    cs_crm_write_t row;

    if (write->result.cls == CS_CLASS_OK) {
        r->card = write->card;
    }
    if (r->inner) {
        row = as_row(r, write);
        cs_refusal_take(r->inner, &row);
    }
    else if (write->result.cls == CS_CLASS_OK) {
        r->wrote = r->over = 1;
    }
    else if (write->result.cls == CS_CLASS_DATA) {
        begin_inner(r, write);
        if (!r->inner) {
            refuse_all(r, &write->result);
        }
    }
    else {
        r->result = write->result;
        r->over = 1;
    }
}

void cs_pc_refusal_end(const cs_pc_refusal_t *r, cs_refusal_end_t *end, const cs_card_t **pcard)
{
    memset(end, 0, sizeof(*end));
    end->result = r->result;
    end->wrote = r->wrote;
    end->refused = r->refused;
    end->left = r->left;
    *pcard = r->card;
}
