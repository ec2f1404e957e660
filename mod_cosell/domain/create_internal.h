/* domain/create_internal.h: a referral in the making. Inside reconcile_create.c, create_*.c and
 * reconcile_tell.c only. (deals 3) */
#ifndef CS_DOMAIN_CREATE_INTERNAL_H
#define CS_DOMAIN_CREATE_INTERNAL_H

#include "list_internal.h"

#define CS_POSTED_SENT "sent"
#define CS_POSTED_DONE "done"
#define CS_POSTED_REFUSED "refused"
#define CS_CALL_OWN "own"
#define CS_CALL_CONNECTED "connected"
#define CS_CALL_FIND "find"
#define CS_CALL_FIND_CONNECTED "find-connected"

/* Where the making stands. */
typedef enum {
    CS_MAKING_NOT = 0, /* nothing is to be made; why says why not */
    CS_MAKING_PAUSED,  /* the seller switched it off */
    CS_MAKING_WAITS,   /* inputs are missing */
    CS_MAKING_QUIET,   /* somebody is still writing */
    CS_MAKING_POST,    /* now */
    CS_MAKING_AWAITS,  /* posted, and no answer came */
    CS_MAKING_FIND,    /* the same, and it is time to look for it */
    CS_MAKING_REFUSED  /* and nothing has changed since */
} cs_making_e;

/* An input that is missing. */
typedef struct cs_lack_t {
    const char *line;           /* the line's name, or the path, for whoever has no labels */
    const cs_column_t *column;  /* the record's column; NULL */
    const cs_list_t *list;      /* or the list that has too few; */
    const cs_line_view_t *item; /* of it the item that is not complete, */
    const char *member;         /* for want of this */
    const char *why;            /* what is wrong with what is there; NULL = it is empty */
} cs_lack_t;

typedef struct cs_making_t {
    int connected;    /* 1 = Microsoft's card of an engagement, 0 = the own referral */
    const char *word; /* the kind that the record asks for */
    cs_making_e what;
    const char *why;
    json_t *doc;               /* the document, as far as it goes */
    const char *digest;        /* of it */
    apr_array_header_t *lines; /* const char *: the lines it carries */
    apr_array_header_t *lacks; /* cs_lack_t * */
    apr_time_t due;            /* QUIET, AWAITS: when it goes on */
    int consent;               /* connected: the referral must be shown to Microsoft first */
} cs_making_t;

#define CS_CREATE_CUSTOMERS "/customerProfile/team"
#define CS_CREATE_SHARE "consentToShareReferralWithMicrosoftSellers" /* of /consent */

/* create_document.c */

/* The kind that the record asks for: "co-sell", "partner-led" or "private"; NULL = a column it
 * depends on could not be read. */
const char *cs_create_word(const cs_planning_t *pl);
/* The own referral's document out of the row; pl->world.kind is the kind. Views of what was read
 * into pl->plan->lines. */
void cs_create_document(cs_planning_t *pl, cs_making_t *m);
/* What is said to Microsoft, into doc. */
void cs_create_invite(cs_planning_t *pl, cs_making_t *m, json_t *doc);
/* The document is complete: its digest. */
void cs_create_finish(cs_planning_t *pl, cs_making_t *m);
/* One more input that is missing. */
cs_lack_t *cs_create_lack(cs_planning_t *pl, cs_making_t *m, const char *line, const char *why);
/* What a person needs to be reached; closed by NULL. */
extern const char *const cs_create_person[];
/* The first member that an item must have and has not; NULL = it is complete. */
const char *cs_create_lacks_member(const cs_planning_t *pl, const cs_list_t *list,
                                   const json_t *item);
/* A member that is an object, made if there is none. Borrowed. */
json_t *cs_create_object(json_t *doc, const char *name);

/* create_connected.c: Microsoft's card out of the own one and what is on its way there. */
void cs_create_connected(cs_planning_t *pl, cs_making_t *m);

/* create_words.c: "Waiting for: Account > Country, Solution". In p. */
const char *cs_create_words(const cs_planning_t *pl, const cs_making_t *m);
/* "Account > Country", "Solution": the input that is missing, or the look-up that names no row. In
 * p. */
const char *cs_create_lack_words(const cs_planning_t *pl, const cs_lack_t *lack);
/* The look-up through which the value would come names no row; NULL = it does, or there is none. */
const cs_column_t *cs_create_no_row(const cs_planning_t *pl, const cs_lack_t *lack);
/* 1 = an earlier one lacks the same row. */
int cs_create_is_named(const cs_planning_t *pl, const cs_making_t *m, int at);
/* "Partner Center refused it: why". */
const char *cs_create_refused_words(const char *why, apr_pool_t *p);
/* The text with a capital at its beginning. In p. */
const char *cs_text_capital(const char *text, apr_pool_t *p);

#endif
