/* engine/refuse.c: one bad line never blocks a deal. (deals 2)
 *
 * A row that was refused for its data is sent again without the line whose column the answer names.
 * Where it names none, the state goes first and alone, for it is never given up; then the lines by
 * halves, until those refused are alone. Of two halves of a set known to hold a bad line the second
 * is known to hold it once the first has passed, and is halved without being sent. One bad line of
 * n costs at most 2 * log2(n) + 4 sends. A state after which nothing else is taken goes last.
 */
#include <string.h>

#include <apr_strings.h>

#include "../base/json.h"
#include "apply.h"

#define LINE_START "$start"
#define TOLD "$tell/"

/* A line and the columns that it brought. */
typedef struct part_t {
    const char *line;
    const json_t *columns;
    int points; /* at a row: a new record may need it */
    struct part_t *with; /* another line that brought the very same: items of one array */
} part_t;

/* Lines of which it is to be known whether they pass. */
typedef struct set_t {
    apr_array_header_t *parts; /* const part_t * */
    int bad;                   /* holds a line that is refused */
    int heir;                  /* is bad if the set sent before it passes */
} set_t;

typedef enum {
    SEND_REST,  /* all but what was blamed */
    SEND_STATE, /* of a new record: with the rows it points to */
    SEND_BARE,  /* of a new record: without them */
    SEND_HALVES,
    SEND_TAIL, /* the state, when it must be last */
    SEND_OVER
} send_e;

struct cs_refusal_t {
    apr_pool_t *p;
    cs_crm_write_t first;      /* as it was refused */
    json_t *state;             /* the columns of no line */
    apr_array_header_t *parts; /* const part_t *: not refused so far */
    send_e phase;
    apr_array_header_t *sending; /* const part_t * */
    int with_state;
    int state_last;           /* the state goes after the rest */
    apr_array_header_t *sets; /* set_t, the last one is next */
    int sends, unblamed;
    int out;    /* parts that were left out */
    int passed; /* something was written */
    const char *guard;
    const char *made; /* the id of a row that was made, where the CRM gave it */
    const cs_record_t *after;
    json_t *refused;
    cs_result_t result, last; /* how it ended; the last refusal */
};

/* ---- parts ---- */

static int is_line(const char *name)
{
    return strcmp(name, CS_LINE_STATE) && strcmp(name, LINE_START);
}

static int points(const json_t *row, const json_t *columns)
{
    size_t i;

    for (i = 0; i < json_array_size(columns); ++i) {
        const json_t *value = json_object_get(row, json_string_value(json_array_get(columns, i)));
        if (json_object_get(value, "$ref")) {
            return 1;
        }
    }
    return 0;
}

/* What a look-up held back, or what may be skipped, is not in the row. */
static int is_present(const json_t *row, const json_t *columns)
{
    size_t i;

    for (i = 0; i < json_array_size(columns); ++i) {
        if (json_object_get(row, json_string_value(json_array_get(columns, i)))) {
            return 1;
        }
    }
    return 0;
}

static part_t *part_of(const cs_refusal_t *r, const json_t *columns)
{
    int i;

    for (i = 0; i < r->parts->nelts; ++i) {
        part_t *part = APR_ARRAY_IDX(r->parts, i, part_t *);
        if (json_equal(part->columns, columns)) {
            return part;
        }
    }
    return NULL;
}

/* What cannot be sent apart is not halved, or it would be sent once for each. */
static void add_part(cs_refusal_t *r, const char *line, const json_t *columns)
{
    part_t *part = apr_pcalloc(r->p, sizeof(*part)), *first = part_of(r, columns);
    size_t i;

    part->line = line;
    if (first) {
        part->with = first->with;
        first->with = part;
        return;
    }
    part->columns = columns;
    part->points = points(r->first.row, columns);
    APR_ARRAY_PUSH(r->parts, const part_t *) = part;
    for (i = 0; i < json_array_size(columns); ++i) {
        json_object_del(r->state, json_string_value(json_array_get(columns, i)));
    }
}

static apr_array_header_t *without(cs_refusal_t *r, const apr_array_header_t *parts,
                                   const part_t *gone)
{
    apr_array_header_t *out = apr_array_make(r->p, parts->nelts + 1, sizeof(const part_t *));
    int i;

    for (i = 0; i < parts->nelts; ++i) {
        if (APR_ARRAY_IDX(parts, i, const part_t *) != gone) {
            APR_ARRAY_PUSH(out, const part_t *) = APR_ARRAY_IDX(parts, i, const part_t *);
        }
    }
    return out;
}

static apr_array_header_t *pointing(cs_refusal_t *r, int wanted)
{
    apr_array_header_t *out = apr_array_make(r->p, r->parts->nelts + 1, sizeof(const part_t *));
    int i;

    for (i = 0; i < r->parts->nelts; ++i) {
        const part_t *part = APR_ARRAY_IDX(r->parts, i, const part_t *);
        if (part->points == wanted) {
            APR_ARRAY_PUSH(out, const part_t *) = part;
        }
    }
    return out;
}

static json_t *row_of(cs_refusal_t *r)
{
    json_t *row = cs_json_own(r->with_state ? json_copy(r->state) : json_object(), r->p), *value;
    size_t k;
    int i;

    for (i = 0; i < r->sending->nelts; ++i) {
        const json_t *columns = APR_ARRAY_IDX(r->sending, i, const part_t *)->columns;
        for (k = 0; k < json_array_size(columns); ++k) {
            const char *column = json_string_value(json_array_get(columns, k));
            value = json_object_get(r->first.row, column);
            if (value) {
                json_object_set(row, column, value);
            }
        }
    }
    return row;
}

/* ---- phases ---- */

static int creates(const cs_refusal_t *r)
{
    return r->first.kind == CS_CRM_CREATE;
}

static void fail(cs_refusal_t *r, const cs_result_t *result)
{
    r->phase = SEND_OVER;
    r->result = *result;
}

static void push_set(cs_refusal_t *r, apr_array_header_t *parts, int bad, int heir)
{
    if (parts->nelts) {
        APR_ARRAY_PUSH(r->sets, set_t) = (set_t){parts, bad, heir};
    }
}

static void begin_halves(cs_refusal_t *r)
{
    r->phase = SEND_HALVES;
    r->with_state = 0;
}

static void begin_bare(cs_refusal_t *r)
{
    r->phase = SEND_BARE;
    r->sending = apr_array_make(r->p, 1, sizeof(const part_t *));
}

static void begin_state(cs_refusal_t *r)
{
    apr_array_header_t *needed = pointing(r, 1);

    r->with_state = 1;
    if (!creates(r) && (!json_object_size(r->state) || r->state_last)) {
        begin_halves(r);
        push_set(r, r->parts, 1, 0);
    }
    else if (creates(r) && needed->nelts && needed->nelts < r->parts->nelts) {
        r->phase = SEND_STATE;
        r->sending = needed;
    }
    else {
        begin_bare(r);
    }
}

/* Nothing of several lines passed: the record is the problem, unless the answers named them all. */
static void finish(cs_refusal_t *r)
{
    if (r->state_last && r->phase == SEND_HALVES) {
        r->phase = SEND_TAIL;
        r->with_state = 1;
        r->sending = apr_array_make(r->p, 1, sizeof(const part_t *));
        return;
    }
    r->phase = SEND_OVER;
    if (!r->passed && r->unblamed && r->out > 1) {
        r->refused = NULL;
        r->result = r->last;
    }
}

/* ---- answers ---- */

int cs_refusal_blames(const cs_result_t *result, const char *column)
{
    size_t len = result->blames ? strcspn(result->blames, "@") : 0;

    return len && strlen(column) == len && !strncasecmp(result->blames, column, len);
}

static const part_t *blamed(const cs_refusal_t *r, const cs_result_t *result)
{
    size_t k;
    int i;

    for (i = 0; result->blames && i < r->sending->nelts; ++i) {
        const part_t *part = APR_ARRAY_IDX(r->sending, i, const part_t *);
        for (k = 0; k < json_array_size(part->columns); ++k) {
            if (cs_refusal_blames(result, json_string_value(json_array_get(part->columns, k)))) {
                return part;
            }
        }
    }
    return NULL;
}

static int state_is_blamed(const cs_refusal_t *r, const cs_result_t *result)
{
    const char *column;
    json_t *value;

    json_object_foreach(r->state, column, value) {
        if (r->with_state && cs_refusal_blames(result, column)) {
            return 1;
        }
    }
    return 0;
}

static void leave_out(cs_refusal_t *r, const part_t *part, const cs_result_t *result)
{
    const char *words = result->said     ? result->said
                        : result->detail ? result->detail
                                         : result->problem;

    if (!r->refused) {
        r->refused = cs_json_own(json_object(), r->p);
    }
    r->parts = without(r, r->parts, part);
    r->sending = without(r, r->sending, part);
    ++r->out;
    for (; part; part = part->with) {
        json_object_set_new(r->refused, part->line,
                            json_string(words ? words : "refused by the CRM"));
    }
}

static set_t *top(cs_refusal_t *r)
{
    return r->sets->nelts ? &APR_ARRAY_IDX(r->sets, r->sets->nelts - 1, set_t) : NULL;
}

/* A bad line was found in the set before it: nothing is known of this one. */
static void disinherit(cs_refusal_t *r)
{
    if (top(r)) {
        top(r)->heir = 0;
    }
}

static void without_blamed(cs_refusal_t *r, const part_t *part, const cs_result_t *result)
{
    leave_out(r, part, result);
    if (r->phase == SEND_HALVES) {
        apr_array_pop(r->sets);
        disinherit(r);
        push_set(r, r->sending, 0, 0);
    }
    else if (r->phase == SEND_STATE && !r->sending->nelts) {
        begin_bare(r);
    }
    else if (r->phase == SEND_REST && !r->sending->nelts && !json_object_size(r->state) &&
             !creates(r)) {
        finish(r);
    }
}

static void refused_half(cs_refusal_t *r, const cs_result_t *result)
{
    set_t set = *(set_t *)apr_array_pop(r->sets);

    disinherit(r);
    if (set.parts->nelts > 1) {
        push_set(r, set.parts, 1, 0);
        return;
    }
    ++r->unblamed;
    leave_out(r, APR_ARRAY_IDX(set.parts, 0, const part_t *), result);
}

/* What the seller reads is not worth a deal. */
static int only_told(const cs_refusal_t *r)
{
    int i;

    for (i = 0; i < r->parts->nelts; ++i) {
        if (strncmp(APR_ARRAY_IDX(r->parts, i, const part_t *)->line, TOLD, sizeof(TOLD) - 1)) {
            return 0;
        }
    }
    return 1;
}

static void refused(cs_refusal_t *r, const cs_result_t *result)
{
    const part_t *part = blamed(r, result);

    r->last = *result;
    if (part) {
        without_blamed(r, part, result);
        return;
    }
    if (state_is_blamed(r, result)) {
        fail(r, result);
        return;
    }
    switch (r->phase) {
    case SEND_REST:
        if (!r->parts->nelts) {
            fail(r, result);
        }
        else if ((r->parts->nelts == 1 || only_told(r)) && !json_object_size(r->state) &&
                 !creates(r)) {
            ++r->unblamed;
            while (r->parts->nelts) {
                leave_out(r, APR_ARRAY_IDX(r->parts, 0, const part_t *), result);
            }
            finish(r);
        }
        else {
            begin_state(r);
        }
        break;
    case SEND_STATE:
        begin_bare(r);
        break;
    case SEND_HALVES:
        refused_half(r, result);
        break;
    default:
        fail(r, result);
    }
}

static void passed(cs_refusal_t *r, const cs_crm_write_t *write)
{
    const cs_record_t *after = write->record;
    send_e phase = r->phase;

    r->passed = 1;
    r->made = r->made ? r->made : cs_write_made(write);
    r->after = after;
    r->guard = after ? after->version : NULL;
    if (phase == SEND_REST || phase == SEND_TAIL) {
        r->phase = SEND_OVER;
        return;
    }
    if (phase == SEND_HALVES) {
        apr_array_pop(r->sets);
        if (top(r) && top(r)->heir) {
            top(r)->bad = 1;
        }
        disinherit(r);
        return;
    }
    begin_halves(r);
    if (!creates(r)) {
        push_set(r, r->parts, 1, 0);
        return;
    }
    /* What it points to was sent with the state: it has passed then, or was refused. */
    push_set(r, pointing(r, 0), phase == SEND_STATE, 0);
    if (phase == SEND_BARE) {
        push_set(r, pointing(r, 1), 0, 0);
        if (top(r)) {
            top(r)->bad = 1;
        }
    }
}

void cs_refusal_take(cs_refusal_t *r, const cs_crm_write_t *write)
{
    if (write->result.cls == CS_CLASS_OK) {
        passed(r, write);
    }
    else if (write->result.cls == CS_CLASS_DATA) {
        refused(r, &write->result);
    }
    else {
        fail(r, &write->result);
    }
}

/* ---- what to send next ---- */

static void split(cs_refusal_t *r)
{
    set_t set = *(set_t *)apr_array_pop(r->sets);
    apr_array_header_t *halves[2];
    int i, half = set.parts->nelts / 2;

    halves[0] = apr_array_make(r->p, half + 1, sizeof(const part_t *));
    halves[1] = apr_array_make(r->p, half + 1, sizeof(const part_t *));
    for (i = 0; i < set.parts->nelts; ++i) {
        APR_ARRAY_PUSH(halves[i >= half], const part_t *) =
            APR_ARRAY_IDX(set.parts, i, const part_t *);
    }
    push_set(r, halves[1], 0, 1);
    push_set(r, halves[0], 0, 0);
}

static void next_half(cs_refusal_t *r)
{
    while (top(r) && top(r)->bad && top(r)->parts->nelts > 1) {
        split(r);
    }
    if (top(r)) {
        r->sending = top(r)->parts;
    }
    else {
        finish(r);
    }
}

static void fill(cs_refusal_t *r, cs_crm_write_t *write)
{
    memset(write, 0, sizeof(*write));
    write->kind = creates(r) && r->passed ? CS_CRM_UPDATE : r->first.kind;
    write->key = write->kind == CS_CRM_CREATE ? r->first.key : NULL;
    write->table = r->first.table;
    write->id = r->made ? r->made : r->first.id;
    write->guard = r->passed ? r->guard : r->first.guard;
    write->columns = r->first.columns;
    write->lookups = r->first.lookups;
    write->row = row_of(r);
}

int cs_refusal_next(cs_refusal_t *r, cs_crm_write_t *write)
{
    if (r->phase == SEND_HALVES) {
        next_half(r);
    }
    if (r->phase == SEND_OVER || r->sends >= CS_REFUSAL_SENDS) {
        return 0;
    }
    if (r->passed && !r->guard) {
        /* Without its version the row cannot be written under guard: the next look reads it. */
        cs_result_set(&r->result, r->p, CS_ESTALE, CS_CLASS_CONFLICT, "crm:version",
                      "the version that %s %s has after the write is not known", r->first.table,
                      r->first.id);
        r->phase = SEND_OVER;
        return 0;
    }
    ++r->sends;
    fill(r, write);
    return 1;
}

cs_refusal_t *cs_refusal_begin(const cs_step_t *step, const cs_crm_write_t *write, int state_last,
                               apr_pool_t *p)
{
    cs_refusal_t *r = apr_pcalloc(p, sizeof(*r));
    const char *line;
    json_t *columns;

    r->p = p;
    r->first = *write;
    r->state = cs_json_own(json_copy((json_t *)write->row), p);
    r->parts = apr_array_make(p, 16, sizeof(const part_t *));
    r->sets = apr_array_make(p, 8, sizeof(set_t));
    json_object_foreach(step->parts, line, columns) {
        if (is_line(line) && is_present(write->row, columns)) {
            add_part(r, line, columns);
        }
    }
    if (!r->parts->nelts) {
        return NULL;
    }
    r->sending = r->parts;
    r->with_state = 1;
    r->state_last = state_last && json_object_size(r->state);
    if (step->travels) {
        json_object_del(r->state, step->travels);
    }
    refused(r, &write->result);
    return r;
}

/* ---- how it ended ---- */

/* The lines of the sets that are still to be sent. */
static apr_array_header_t *left(const cs_refusal_t *r)
{
    apr_array_header_t *lines = apr_array_make(r->p, 4, sizeof(const char *));
    int i, k;

    for (i = 0; i < r->sets->nelts; ++i) {
        const set_t *set = &APR_ARRAY_IDX(r->sets, i, set_t);
        for (k = 0; k < set->parts->nelts; ++k) {
            const part_t *part = APR_ARRAY_IDX(set->parts, k, const part_t *);
            for (; part; part = part->with) {
                APR_ARRAY_PUSH(lines, const char *) = part->line;
            }
        }
    }
    if (r->state_last) {
        APR_ARRAY_PUSH(lines, const char *) = CS_LINE_STATE;
    }
    return lines;
}

void cs_refusal_end(const cs_refusal_t *r, cs_refusal_end_t *end)
{
    memset(end, 0, sizeof(*end));
    end->result = r->result;
    end->wrote = r->passed;
    end->after = r->after;
    end->refused = r->refused;
    end->made = creates(r) && r->passed;
    end->id = r->made;
    if (r->phase == SEND_OVER) {
        return;
    }
    if (r->passed) {
        end->left = left(r);
        return;
    }
    cs_result_set(&end->result, r->p, CS_ELIMIT, CS_CLASS_CONFLICT, "lines:many",
                  "%d values were refused one by one; the others are left for the next look",
                  (int)json_object_size(r->refused));
}
