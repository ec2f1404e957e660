/* domain/country.c: countries by name and code. (ISO 3166-1; partner-center-api.md 4.2.1)
 *
 * Names are compared without case, accents and punctuation, and without "the" before them.
 */
#include <stddef.h>
#include <string.h>

#include "country.h"

#define NAME_MAX_BYTES 96 /* of a name in its plain form; longer texts are no countries */

typedef struct country_t {
    const char *code, *code3;
    const char *name;   /* English short name */
    const char *others; /* further names in plain form, separated by '|'; NULL = none */
} country_t;

static const country_t countries[] = {
    {"AF", "AFG", "Afghanistan", "islamic republic of afghanistan"},
    {"AX", "ALA", "\xC3\x85land Islands", "aland"},
    {"AL", "ALB", "Albania", "republic of albania"},
    {"DZ", "DZA", "Algeria", "peoples democratic republic of algeria"},
    {"AS", "ASM", "American Samoa", NULL},
    {"AD", "AND", "Andorra", "principality of andorra"},
    {"AO", "AGO", "Angola", "republic of angola"},
    {"AI", "AIA", "Anguilla", NULL},
    {"AQ", "ATA", "Antarctica", NULL},
    {"AG", "ATG", "Antigua and Barbuda", "antigua"},
    {"AR", "ARG", "Argentina", "argentine republic"},
    {"AM", "ARM", "Armenia", "republic of armenia"},
    {"AW", "ABW", "Aruba", NULL},
    {"AU", "AUS", "Australia", "commonwealth of australia"},
    {"AT", "AUT", "Austria", "republic of austria|osterreich"},
    {"AZ", "AZE", "Azerbaijan", "republic of azerbaijan"},
    {"BS", "BHS", "Bahamas", "commonwealth of the bahamas"},
    {"BH", "BHR", "Bahrain", "kingdom of bahrain"},
    {"BD", "BGD", "Bangladesh", "peoples republic of bangladesh"},
    {"BB", "BRB", "Barbados", NULL},
    {"BY", "BLR", "Belarus", "republic of belarus"},
    {"BE", "BEL", "Belgium", "kingdom of belgium|belgie|belgique|belgien"},
    {"BZ", "BLZ", "Belize", NULL},
    {"BJ", "BEN", "Benin", "republic of benin"},
    {"BM", "BMU", "Bermuda", NULL},
    {"BT", "BTN", "Bhutan", "kingdom of bhutan"},
    {"BO", "BOL", "Bolivia (Plurinational State of)", "bolivia|plurinational state of bolivia"},
    {"BQ", "BES", "Bonaire, Sint Eustatius and Saba", "bonaire|caribbean netherlands"},
    {"BA", "BIH", "Bosnia and Herzegovina", "bosnia"},
    {"BW", "BWA", "Botswana", "republic of botswana"},
    {"BV", "BVT", "Bouvet Island", NULL},
    {"BR", "BRA", "Brazil", "federative republic of brazil|brasil"},
    {"IO", "IOT", "British Indian Ocean Territory", NULL},
    {"BN", "BRN", "Brunei Darussalam", "brunei"},
    {"BG", "BGR", "Bulgaria", "republic of bulgaria"},
    {"BF", "BFA", "Burkina Faso", NULL},
    {"BI", "BDI", "Burundi", "republic of burundi"},
    {"CV", "CPV", "Cabo Verde", "cape verde|republic of cabo verde"},
    {"KH", "KHM", "Cambodia", "kingdom of cambodia"},
    {"CM", "CMR", "Cameroon", "republic of cameroon"},
    {"CA", "CAN", "Canada", NULL},
    {"KY", "CYM", "Cayman Islands", NULL},
    {"CF", "CAF", "Central African Republic", NULL},
    {"TD", "TCD", "Chad", "republic of chad"},
    {"CL", "CHL", "Chile", "republic of chile"},
    {"CN", "CHN", "China", "peoples republic of china|china mainland|mainland china|prc|pr china"},
    {"CX", "CXR", "Christmas Island", NULL},
    {"CC", "CCK", "Cocos (Keeling) Islands", "cocos islands|keeling islands"},
    {"CO", "COL", "Colombia", "republic of colombia"},
    {"KM", "COM", "Comoros", "union of the comoros"},
    {"CG", "COG", "Congo", "republic of the congo|congo republic|congo brazzaville"},
    {"CD", "COD", "Congo, Democratic Republic of the",
     "democratic republic of the congo|congo the democratic republic of the"
     "|congo democratic republic|dr congo|drc|congo kinshasa"},
    {"CK", "COK", "Cook Islands", NULL},
    {"CR", "CRI", "Costa Rica", "republic of costa rica"},
    {"CI", "CIV", "C\xC3\xB4te d'Ivoire", "ivory coast|republic of cote divoire"},
    {"HR", "HRV", "Croatia", "republic of croatia|hrvatska"},
    {"CU", "CUB", "Cuba", "republic of cuba"},
    {"CW", "CUW", "Cura\xC3\xA7" "ao", NULL},
    {"CY", "CYP", "Cyprus", "republic of cyprus"},
    {"CZ", "CZE", "Czechia", "czech republic|ceska republika|cesko|tschechien"},
    {"DK", "DNK", "Denmark", "kingdom of denmark|danmark|danemark"},
    {"DJ", "DJI", "Djibouti", "republic of djibouti"},
    {"DM", "DMA", "Dominica", "commonwealth of dominica"},
    {"DO", "DOM", "Dominican Republic", NULL},
    {"EC", "ECU", "Ecuador", "republic of ecuador"},
    {"EG", "EGY", "Egypt", "arab republic of egypt"},
    {"SV", "SLV", "El Salvador", "republic of el salvador"},
    {"GQ", "GNQ", "Equatorial Guinea", "republic of equatorial guinea"},
    {"ER", "ERI", "Eritrea", "state of eritrea"},
    {"EE", "EST", "Estonia", "republic of estonia|eesti"},
    {"SZ", "SWZ", "Eswatini", "kingdom of eswatini|swaziland"},
    {"ET", "ETH", "Ethiopia", "federal democratic republic of ethiopia"},
    {"FK", "FLK", "Falkland Islands (Malvinas)", "falkland islands|malvinas"},
    {"FO", "FRO", "Faroe Islands", "faeroe islands"},
    {"FJ", "FJI", "Fiji", "republic of fiji"},
    {"FI", "FIN", "Finland", "republic of finland|suomi|finnland"},
    {"FR", "FRA", "France", "french republic|frankreich"},
    {"GF", "GUF", "French Guiana", NULL},
    {"PF", "PYF", "French Polynesia", NULL},
    {"TF", "ATF", "French Southern Territories", NULL},
    {"GA", "GAB", "Gabon", "gabonese republic"},
    {"GM", "GMB", "Gambia", "republic of the gambia"},
    {"GE", "GEO", "Georgia", "republic of georgia"},
    {"DE", "DEU", "Germany", "federal republic of germany|deutschland|bundesrepublik deutschland"},
    {"GH", "GHA", "Ghana", "republic of ghana"},
    {"GI", "GIB", "Gibraltar", NULL},
    {"GR", "GRC", "Greece", "hellenic republic|hellas|griechenland"},
    {"GL", "GRL", "Greenland", NULL},
    {"GD", "GRD", "Grenada", NULL},
    {"GP", "GLP", "Guadeloupe", NULL},
    {"GU", "GUM", "Guam", NULL},
    {"GT", "GTM", "Guatemala", "republic of guatemala"},
    {"GG", "GGY", "Guernsey", "bailiwick of guernsey"},
    {"GN", "GIN", "Guinea", "republic of guinea"},
    {"GW", "GNB", "Guinea-Bissau", "republic of guinea bissau"},
    {"GY", "GUY", "Guyana", "co operative republic of guyana"},
    {"HT", "HTI", "Haiti", "republic of haiti"},
    {"HM", "HMD", "Heard Island and McDonald Islands", "heard and mcdonald islands"},
    {"VA", "VAT", "Holy See", "vatican|vatican city|vatican city state"},
    {"HN", "HND", "Honduras", "republic of honduras"},
    {"HK", "HKG", "Hong Kong", "hong kong sar|hong kong sar china|hong kong china|hongkong"},
    {"HU", "HUN", "Hungary", "magyarorszag|ungarn"},
    {"IS", "ISL", "Iceland", "republic of iceland|island"},
    {"IN", "IND", "India", "republic of india|bharat"},
    {"ID", "IDN", "Indonesia", "republic of indonesia"},
    {"IR", "IRN", "Iran (Islamic Republic of)", "iran|islamic republic of iran"},
    {"IQ", "IRQ", "Iraq", "republic of iraq"},
    {"IE", "IRL", "Ireland", "republic of ireland|eire|irland"},
    {"IM", "IMN", "Isle of Man", NULL},
    {"IL", "ISR", "Israel", "state of israel"},
    {"IT", "ITA", "Italy", "italian republic|italia|italien"},
    {"JM", "JAM", "Jamaica", NULL},
    {"JP", "JPN", "Japan", "nippon"},
    {"JE", "JEY", "Jersey", "bailiwick of jersey"},
    {"JO", "JOR", "Jordan", "hashemite kingdom of jordan"},
    {"KZ", "KAZ", "Kazakhstan", "republic of kazakhstan"},
    {"KE", "KEN", "Kenya", "republic of kenya"},
    {"KI", "KIR", "Kiribati", "republic of kiribati"},
    {"KP", "PRK", "Korea (Democratic People's Republic of)",
     "north korea|democratic peoples republic of korea|dprk"},
    {"KR", "KOR", "Korea, Republic of", "south korea|republic of korea|korea|korea south"},
    {"KW", "KWT", "Kuwait", "state of kuwait"},
    {"KG", "KGZ", "Kyrgyzstan", "kyrgyz republic"},
    {"LA", "LAO", "Lao People's Democratic Republic", "laos|lao pdr"},
    {"LV", "LVA", "Latvia", "republic of latvia|latvija"},
    {"LB", "LBN", "Lebanon", "lebanese republic"},
    {"LS", "LSO", "Lesotho", "kingdom of lesotho"},
    {"LR", "LBR", "Liberia", "republic of liberia"},
    {"LY", "LBY", "Libya", "state of libya"},
    {"LI", "LIE", "Liechtenstein", "principality of liechtenstein"},
    {"LT", "LTU", "Lithuania", "republic of lithuania|lietuva"},
    {"LU", "LUX", "Luxembourg", "grand duchy of luxembourg"},
    {"MO", "MAC", "Macao", "macau|macao sar|macau sar|macao sar china"},
    {"MG", "MDG", "Madagascar", "republic of madagascar"},
    {"MW", "MWI", "Malawi", "republic of malawi"},
    {"MY", "MYS", "Malaysia", NULL},
    {"MV", "MDV", "Maldives", "republic of maldives"},
    {"ML", "MLI", "Mali", "republic of mali"},
    {"MT", "MLT", "Malta", "republic of malta"},
    {"MH", "MHL", "Marshall Islands", "republic of the marshall islands"},
    {"MQ", "MTQ", "Martinique", NULL},
    {"MR", "MRT", "Mauritania", "islamic republic of mauritania"},
    {"MU", "MUS", "Mauritius", "republic of mauritius"},
    {"YT", "MYT", "Mayotte", NULL},
    {"MX", "MEX", "Mexico", "united mexican states"},
    {"FM", "FSM", "Micronesia (Federated States of)", "micronesia|federated states of micronesia"},
    {"MD", "MDA", "Moldova, Republic of", "moldova|republic of moldova"},
    {"MC", "MCO", "Monaco", "principality of monaco"},
    {"MN", "MNG", "Mongolia", NULL},
    {"ME", "MNE", "Montenegro", "crna gora"},
    {"MS", "MSR", "Montserrat", NULL},
    {"MA", "MAR", "Morocco", "kingdom of morocco"},
    {"MZ", "MOZ", "Mozambique", "republic of mozambique"},
    {"MM", "MMR", "Myanmar", "burma|republic of the union of myanmar"},
    {"NA", "NAM", "Namibia", "republic of namibia"},
    {"NR", "NRU", "Nauru", "republic of nauru"},
    {"NP", "NPL", "Nepal", "federal democratic republic of nepal"},
    {"NL", "NLD", "Netherlands",
     "kingdom of the netherlands|nederland|holland|netherlands kingdom of the|niederlande"},
    {"NC", "NCL", "New Caledonia", NULL},
    {"NZ", "NZL", "New Zealand", "aotearoa"},
    {"NI", "NIC", "Nicaragua", "republic of nicaragua"},
    {"NE", "NER", "Niger", "republic of the niger"},
    {"NG", "NGA", "Nigeria", "federal republic of nigeria"},
    {"NU", "NIU", "Niue", NULL},
    {"NF", "NFK", "Norfolk Island", NULL},
    {"MK", "MKD", "North Macedonia", "republic of north macedonia|macedonia|fyrom"},
    {"MP", "MNP", "Northern Mariana Islands", "commonwealth of the northern mariana islands"},
    {"NO", "NOR", "Norway", "kingdom of norway|norge|norwegen"},
    {"OM", "OMN", "Oman", "sultanate of oman"},
    {"PK", "PAK", "Pakistan", "islamic republic of pakistan"},
    {"PW", "PLW", "Palau", "republic of palau"},
    {"PS", "PSE", "Palestine, State of",
     "palestine|state of palestine|palestinian territories|palestinian authority"},
    {"PA", "PAN", "Panama", "republic of panama"},
    {"PG", "PNG", "Papua New Guinea", "independent state of papua new guinea"},
    {"PY", "PRY", "Paraguay", "republic of paraguay"},
    {"PE", "PER", "Peru", "republic of peru"},
    {"PH", "PHL", "Philippines", "republic of the philippines"},
    {"PN", "PCN", "Pitcairn", "pitcairn islands"},
    {"PL", "POL", "Poland", "republic of poland|polska|polen"},
    {"PT", "PRT", "Portugal", "portuguese republic"},
    {"PR", "PRI", "Puerto Rico", NULL},
    {"QA", "QAT", "Qatar", "state of qatar"},
    {"RE", "REU", "R\xC3\xA9union", NULL},
    {"RO", "ROU", "Romania", NULL},
    {"RU", "RUS", "Russian Federation", "russia"},
    {"RW", "RWA", "Rwanda", "republic of rwanda"},
    {"BL", "BLM", "Saint Barth\xC3\xA9lemy", "st barthelemy"},
    {"SH", "SHN", "Saint Helena, Ascension and Tristan da Cunha", "saint helena|st helena"},
    {"KN", "KNA", "Saint Kitts and Nevis", "st kitts and nevis"},
    {"LC", "LCA", "Saint Lucia", "st lucia"},
    {"MF", "MAF", "Saint Martin (French part)", "saint martin|st martin"},
    {"PM", "SPM", "Saint Pierre and Miquelon", "st pierre and miquelon"},
    {"VC", "VCT", "Saint Vincent and the Grenadines",
     "st vincent and the grenadines|saint vincent|st vincent"},
    {"WS", "WSM", "Samoa", "independent state of samoa"},
    {"SM", "SMR", "San Marino", "republic of san marino"},
    {"ST", "STP", "Sao Tome and Principe", "democratic republic of sao tome and principe"},
    {"SA", "SAU", "Saudi Arabia", "kingdom of saudi arabia|ksa"},
    {"SN", "SEN", "Senegal", "republic of senegal"},
    {"RS", "SRB", "Serbia", "republic of serbia|srbija"},
    {"SC", "SYC", "Seychelles", "republic of seychelles"},
    {"SL", "SLE", "Sierra Leone", "republic of sierra leone"},
    {"SG", "SGP", "Singapore", "republic of singapore"},
    {"SX", "SXM", "Sint Maarten (Dutch part)", "sint maarten|st maarten"},
    {"SK", "SVK", "Slovakia", "slovak republic|slovensko"},
    {"SI", "SVN", "Slovenia", "republic of slovenia|slovenija"},
    {"SB", "SLB", "Solomon Islands", NULL},
    {"SO", "SOM", "Somalia", "federal republic of somalia"},
    {"ZA", "ZAF", "South Africa", "republic of south africa"},
    {"GS", "SGS", "South Georgia and the South Sandwich Islands", "south georgia"},
    {"SS", "SSD", "South Sudan", "republic of south sudan"},
    {"ES", "ESP", "Spain", "kingdom of spain|espana|spanien"},
    {"LK", "LKA", "Sri Lanka", "democratic socialist republic of sri lanka"},
    {"SD", "SDN", "Sudan", "republic of the sudan"},
    {"SR", "SUR", "Suriname", "republic of suriname"},
    {"SJ", "SJM", "Svalbard and Jan Mayen", "svalbard"},
    {"SE", "SWE", "Sweden", "kingdom of sweden|sverige|schweden"},
    {"CH", "CHE", "Switzerland", "swiss confederation|schweiz|suisse|svizzera"},
    {"SY", "SYR", "Syrian Arab Republic", "syria"},
    {"TW", "TWN", "Taiwan, Province of China", "taiwan|taiwan roc"},
    {"TJ", "TJK", "Tajikistan", "republic of tajikistan"},
    {"TZ", "TZA", "Tanzania, United Republic of", "tanzania|united republic of tanzania"},
    {"TH", "THA", "Thailand", "kingdom of thailand"},
    {"TL", "TLS", "Timor-Leste", "east timor|democratic republic of timor leste"},
    {"TG", "TGO", "Togo", "togolese republic"},
    {"TK", "TKL", "Tokelau", NULL},
    {"TO", "TON", "Tonga", "kingdom of tonga"},
    {"TT", "TTO", "Trinidad and Tobago", "republic of trinidad and tobago|trinidad"},
    {"TN", "TUN", "Tunisia", "republic of tunisia"},
    {"TR", "TUR", "T\xC3\xBCrkiye", "turkey|republic of turkey|republic of turkiye|turkei"},
    {"TM", "TKM", "Turkmenistan", NULL},
    {"TC", "TCA", "Turks and Caicos Islands", NULL},
    {"TV", "TUV", "Tuvalu", NULL},
    {"UG", "UGA", "Uganda", "republic of uganda"},
    {"UA", "UKR", "Ukraine", NULL},
    {"AE", "ARE", "United Arab Emirates", "uae|emirates"},
    {"GB", "GBR", "United Kingdom of Great Britain and Northern Ireland",
     "united kingdom|uk|great britain|britain|england|scotland|wales|northern ireland"
     "|vereinigtes konigreich"},
    {"US", "USA", "United States of America",
     "united states|us of america|u s a|america|vereinigte staaten"},
    {"UM", "UMI", "United States Minor Outlying Islands", "us minor outlying islands"},
    {"UY", "URY", "Uruguay", "eastern republic of uruguay"},
    {"UZ", "UZB", "Uzbekistan", "republic of uzbekistan"},
    {"VU", "VUT", "Vanuatu", "republic of vanuatu"},
    {"VE", "VEN", "Venezuela (Bolivarian Republic of)",
     "venezuela|bolivarian republic of venezuela"},
    {"VN", "VNM", "Viet Nam",
     "vietnam|socialist republic of viet nam|socialist republic of vietnam"},
    {"VG", "VGB", "Virgin Islands (British)", "british virgin islands"},
    {"VI", "VIR", "Virgin Islands (U.S.)",
     "us virgin islands|united states virgin islands|virgin islands of the united states"},
    {"WF", "WLF", "Wallis and Futuna", "wallis and futuna islands"},
    {"EH", "ESH", "Western Sahara", NULL},
    {"YE", "YEM", "Yemen", "republic of yemen"},
    {"ZM", "ZMB", "Zambia", "republic of zambia"},
    {"ZW", "ZWE", "Zimbabwe", "republic of zimbabwe"},
};
#define COUNTRIES (sizeof(countries) / sizeof(countries[0]))

/* The letters of U+00C0 to U+00FF without their marks; '*' = it stands for two letters or none. */
static const char latin[] = "aaaaaa*ceeeeiiiidnooooo ouuuuy**aaaaaa*ceeeeiiiidnooooo ouuuuy*y";

/* And those of U+0100 to U+017F. */
static const char latin_a[] = "aaaaaaccccccccddddeeeeeeeeeegggggggghhhhiiiiiiiiii**jjkk*lllllll"
                              "lllnnnnnn***oooooo**rrrrrrssssssssttttttuuuuuuuuuuuuwwyyyzzzzzzs";

/* One letter of the plain form at *ptext, which moves on: 0 = none (a mark, an apostrophe), ' ' =
 * a gap. -1 = a letter that is in no name. */
static int plain_letter(const unsigned char **ptext)
{
    const unsigned char *s = *ptext;

    *ptext = s + 1;
    if (*s >= 'A' && *s <= 'Z') {
        return *s + 'a' - 'A';
    }
    if (*s == '\'' || *s == '.') {
        return 0;
    }
    if (*s < 0x80) {
        return (*s >= 'a' && *s <= 'z') || (*s >= '0' && *s <= '9') ? *s : ' ';
    }
    if (*s == 0xC3 && s[1] >= 0x80 && s[1] <= 0xBF) {
        *ptext = s + 2;
        return latin[s[1] - 0x80] == '*' ? -1 : latin[s[1] - 0x80];
    }
    if ((*s == 0xC4 || *s == 0xC5) && s[1] >= 0x80 && s[1] <= 0xBF) {
        char c = latin_a[(*s - 0xC4) * 64 + s[1] - 0x80];

        *ptext = s + 2;
        return c == '*' ? -1 : c;
    }
    if ((*s == 0xCC && s[1] >= 0x80 && s[1] <= 0xBF) ||
        (*s == 0xCD && s[1] >= 0x80 && s[1] <= 0xAF)) {
        *ptext = s + 2;
        return 0;
    }
    if (*s == 0xC2 && s[1] == 0xA0) {
        *ptext = s + 2;
        return ' ';
    }
    if (*s == 0xE2 && s[1] == 0x80 && (s[2] == 0x98 || s[2] == 0x99)) {
        *ptext = s + 3;
        return 0;
    }
    return -1;
}

/* Gaps are single and never first. */
static void push(char *out, size_t *len, int c)
{
    if (c && (c != ' ' || (*len && out[*len - 1] != ' '))) {
        out[(*len)++] = (char)c;
    }
}

/* 1 and the plain form in out, or 0. */
static int plain(char *out, const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    const char *and;
    size_t len = 0;

    while (*s) {
        int is_and = *s == '&', c = plain_letter(&s);

        if (c < 0 || len + 6 > NAME_MAX_BYTES) {
            return 0;
        }
        for (and = " and "; is_and && *and; and++) {
            push(out, &len, *and);
        }
        push(out, &len, c);
    }
    while (len && out[len - 1] == ' ') {
        len--;
    }
    out[len] = '\0';
    if (!strncmp(out, "the ", 4)) {
        memmove(out, out + 4, len - 3);
    }
    return len > 0;
}

static int is_among(const char *names, const char *name)
{
    size_t len = strlen(name);

    while (names) {
        const char *end = strchr(names, '|');

        if (!strncmp(names, name, len) && (names[len] == '|' || !names[len])) {
            return 1;
        }
        names = end ? end + 1 : NULL;
    }
    return 0;
}

static int same_name(const char *name, const char *wanted)
{
    char own[NAME_MAX_BYTES];

    return plain(own, name) && !strcmp(own, wanted);
}

static int same_code(const char *code, const char *wanted)
{
    for (; *code && *wanted == *code + 'a' - 'A'; code++, wanted++) {
    }
    return !*code && !*wanted;
}

const char *cs_country_code(const char *text)
{
    char wanted[NAME_MAX_BYTES];
    size_t i, len;

    if (!text || !plain(wanted, text)) {
        return NULL;
    }
    len = strlen(wanted);
    for (i = 0; i < COUNTRIES; i++) {
        const country_t *c = &countries[i];

        if ((len == 2 && same_code(c->code, wanted)) || (len == 3 && same_code(c->code3, wanted))) {
            return c->code;
        }
    }
    for (i = 0; i < COUNTRIES; i++) {
        const country_t *c = &countries[i];

        if (is_among(c->others, wanted) || same_name(c->name, wanted)) {
            return c->code;
        }
    }
    return NULL;
}

const char *cs_country_name(const char *code)
{
    size_t i;

    for (i = 0; code && i < COUNTRIES; i++) {
        if (!strcmp(countries[i].code, code)) {
            return countries[i].name;
        }
    }
    return NULL;
}
