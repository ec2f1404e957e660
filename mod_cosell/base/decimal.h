/* base/decimal.h: money as decimal text, never as a double printed with 17 digits. (deals 2)
 *
 * Canonical form: optional '-', at least one integer digit without leading zeros, '.' and exactly
 * `scale` fraction digits when scale > 0. "-0.00" is "0.00". Amounts of more than 15 significant
 * digits after rounding, zeros at the end of the fraction not counted, are refused (CS_ELIMIT), for
 * JSON numbers cannot carry them.
 */
#ifndef CS_BASE_DECIMAL_H
#define CS_BASE_DECIMAL_H

#include <apr_pools.h>
#include <jansson.h>

#define CS_DECIMAL_DIGITS 15

/* From plain or exponent notation text ("5000000.0000", "1e3"), rounded half away from zero to
 * scale (0..4). APR_EINVAL or CS_ELIMIT. */
apr_status_t cs_decimal_from_text(const char **pout, const char *text, int scale, apr_pool_t *p);
/* From a JSON integer, real (via 15 significant digits) or string. APR_EINVAL for anything else,
 * CS_ELIMIT when it does not fit. */
apr_status_t cs_decimal_from_json(const char **pout, const json_t *json, int scale, apr_pool_t *p);
/* A JSON number that prints as the same digits with cs_json_print(): an integer when the fraction
 * is zero, else a real. New reference. */
json_t *cs_decimal_to_json(const char *decimal);
/* 1 for -?digits[.digits] of at most 40 characters without leading zeros: text that stands for a
 * number in JSON, in a query and in an address as it is, and can be nothing else. NULL = 0. */
int cs_decimal_is_plain(const char *text);
/* 1 when the amount is 0, -0 or empty. */
int cs_decimal_is_zero(const char *decimal);
/* Fraction digits of an ISO 4217 currency: JPY 0, KWD 3, 2 for what is not in the table. */
int cs_currency_scale(const char *iso);

#endif
