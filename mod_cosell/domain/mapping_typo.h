/* domain/mapping_typo.h: what a person probably meant. Inside the loader only. */
#ifndef CS_DOMAIN_MAPPING_TYPO_H
#define CS_DOMAIN_MAPPING_TYPO_H

#include "mapping_internal.h"

/* ` (did you mean "notes"?)` when one of the known names (const char *) is within two letters of
 * the text, else "". In p. */
const char *cs_typo_hint(const char *text, const apr_array_header_t *known, apr_pool_t *p);

/* For a path that is none: ` (did you mean ...?); allowed in /details: notes, dealValue, ...`, of
 * the innermost place around it that there is. In p. */
const char *cs_typo_path(const char *bare, apr_pool_t *p);

/* What file number `file` of the sources says about record kinds and lines that the files below it
 * do not have, and that is too little for new ones, is reported and taken out of `merged`. */
void cs_typo_strangers(cs_load_t *l, int file, const json_t *over, const json_t *below,
                       json_t *merged);

/* Names of overlays that no file uses are reported. roots: the files, the overlay first. */
void cs_typo_unused(cs_load_t *l, json_t *const *roots, int n);

/* mapping_overlay.c: one more mistake in file number `file`; the name of that file without its
 * directory. */
void cs_source_error(cs_load_t *l, int file, const char *pointer, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
const char *cs_source_name(const cs_load_t *l, int file);

#endif
