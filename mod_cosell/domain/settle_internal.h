/* domain/settle_internal.h: one settling in progress. Inside domain/ only. */
#ifndef CS_DOMAIN_SETTLE_INTERNAL_H
#define CS_DOMAIN_SETTLE_INTERNAL_H

#include "reconcile_internal.h"

typedef struct cs_settling_t {
    cs_deal_t *deal;
    apr_array_header_t *journal;
    const cs_plan_t *plan;
    const cs_look_t *look;
    const cs_mapping_kind_t *kind;
    const cs_applied_t *applied;
    const json_t *before; /* the last explanation: what is in it has been journalled */
    apr_pool_t *p, *ptemp;
    int all_done; /* every sent step */
    cs_table_t table;
    json_t *learnt; /* {"<line>": true}: what both sides show of it is known from this look */
} cs_settling_t;

/* reconcile_settle.c: what became of the steps. */

const cs_step_t *cs_settle_step(const cs_settling_t *s, int i);
int cs_settle_writes(const cs_step_t *step, const char *line);
/* The last sent step that writes the line; -1 = none. *pdone = all of them were done. */
int cs_settle_writer(const cs_settling_t *s, const char *line, int *pdone);
/* NULL = it is no line of the mapping. */
const cs_line_t *cs_settle_line_of(const cs_settling_t *s, const char *name);
/* Why apply left the line out of the steps; NULL = it did not. */
const char *cs_settle_dropped(const cs_settling_t *s, const char *line);
/* Why the other side did not take it for its data; NULL = it did, or was not asked. */
const char *cs_settle_refused(const cs_settling_t *s, const char *line);
/* The line of its group that was left out and took this one with it; NULL = none. */
const char *cs_settle_partner(const cs_settling_t *s, const cs_line_t *line);
/* What is left of a step without the lines that were left out of it has taken effect. */
int cs_settle_is_over(const cs_settling_t *s, int at);
/* A step about the record itself, not about rows that belong to it. */
int cs_settle_is_record(const cs_step_t *step);
/* A step that writes at Partner Center. */
int cs_settle_is_to_pc(const cs_step_t *step);
/* The referral as it is after the step, Microsoft's card with it; *pshown = Partner Center said so,
 * else it is what was asked for. */
json_t *cs_settle_doc(const cs_settling_t *s, int at, int *pshown);

/* The seller reads what the plan says, by the step at `at`, or by none (-1). */
void cs_settle_keep_told(cs_settling_t *s, int at);

/* settle_images.c */

/* What both sides showed, and the rule by which they may differ; NULL = no image of that side, no
 * such rule. */
void cs_settle_image(cs_settling_t *s, const char *line, const json_t *pc, const json_t *crm,
                     const char *rest);
/* Partner Center does not take what the line brings: not sent again until the CRM's value moves.
 * Returns the note. */
json_t *cs_settle_refused_there(cs_settling_t *s, const cs_line_view_t *view, const char *why);
/* The image of a line, or of an item of a list, after the look. */
void cs_settle_view(cs_settling_t *s, const cs_line_view_t *view);

/* create_settle.c */

/* The deal after a plan for a record that had no referral when it was read. */
void cs_settle_create(cs_settling_t *s);
/* What became of the step that invites Microsoft. */
void cs_settle_connect(cs_settling_t *s);
/* 1 for a POST that Partner Center refused: the same is not sent again. */
int cs_settle_post_is_over(const cs_step_t *step, const cs_applied_t *applied);

/* settle_journal.c */

cs_journal_t *cs_settle_write_down(cs_settling_t *s, const char *direction, const char *action,
                                   const char *outcome, const char *why);
/* In the deal's pool; NULL for NULL. */
json_t *cs_settle_copy(const cs_settling_t *s, const json_t *json);
/* What was done, refused, held or newly planned; read before the images move. */
void cs_settle_journal(cs_settling_t *s);

/* settle_late.c */

/* What an earlier look did and never said; after images and intent. */
void cs_settle_late(cs_settling_t *s);

#endif
