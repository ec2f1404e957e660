/* domain/country.h: countries as Partner Center wants them, two letters of ISO 3166-1. Pure. */
#ifndef CS_DOMAIN_COUNTRY_H
#define CS_DOMAIN_COUNTRY_H

/* "Germany", " DEUTSCHLAND ", "Federal Republic of Germany", "deu", "de" -> "DE". Without regard to
 * case, accents, punctuation and blanks. NULL for what is no country, or for NULL. Static. */
const char *cs_country_code(const char *text);
/* "DE" -> "Germany", the English short name; NULL for what is no code. Static. */
const char *cs_country_name(const char *code);

#endif
