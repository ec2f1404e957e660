/* store/words.c: by what a deal is searched: the words of its title, folded, and its ids. */
#include <string.h>

#include "store_impl.h"

/* ---- characters ---- */

/* The character at *ptext, which moves behind it; 0 at the end; what is no UTF-8 is a blank. */
static unsigned int next_char(const char **ptext)
{
    const unsigned char *s = (const unsigned char *)*ptext;
    static const unsigned int least[] = {0, 0, 0x80, 0x800, 0x10000};
    int n = *s < 0x80 ? 1 : *s >= 0xF0 && *s < 0xF8 ? 4 : *s >= 0xE0 ? 3 : *s >= 0xC0 ? 2 : 0;
    unsigned int c = n == 1 ? *s : n ? *s & (0xFFu >> (n + 1)) : ' ';
    int i;

    if (!*s) {
        return 0;
    }
    for (i = 1; i < n; i++) {
        if ((s[i] & 0xC0) != 0x80) {
            *ptext += i;
            return ' ';
        }
        c = c << 6 | (s[i] & 0x3F);
    }
    *ptext += n ? n : 1;
    return *s >= 0xF8 || (n > 1 && c < least[n]) || c > 0x10FFFF ? ' ' : c;
}

static int put_char(char *to, unsigned int c)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (char)(0xC0 | c >> 6);
        to[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (char)(0xE0 | c >> 12);
        to[1] = (char)(0x80 | (c >> 6 & 0x3F));
        to[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    to[0] = (char)(0xF0 | c >> 18);
    to[1] = (char)(0x80 | (c >> 12 & 0x3F));
    to[2] = (char)(0x80 | (c >> 6 & 0x3F));
    to[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}

/* Capitals and their small letters: Latin, Greek, Cyrillic, Armenian. `step` 1: each by itself is
 * `by` before its small letter; 2: they take turns with them, capital first. */
static const struct {
    unsigned int first, last;
    int step, by;
} capitals[] = {
    {'A', 'Z', 1, 32},      {0xC0, 0xD6, 1, 32},     {0xD8, 0xDE, 1, 32},   {0x100, 0x12F, 2, 1},
    {0x132, 0x137, 2, 1},   {0x139, 0x148, 2, 1},    {0x14A, 0x177, 2, 1},  {0x178, 0x178, 1, -121},
    {0x179, 0x17E, 2, 1},   {0x1CD, 0x1DC, 2, 1},    {0x1DE, 0x1EF, 2, 1},  {0x1F8, 0x21F, 2, 1},
    {0x222, 0x233, 2, 1},   {0x386, 0x386, 1, 38},   {0x388, 0x38A, 1, 37}, {0x38C, 0x38C, 1, 64},
    {0x38E, 0x38F, 1, 63},  {0x391, 0x3A1, 1, 32},   {0x3A3, 0x3AB, 1, 32}, {0x3C2, 0x3C2, 1, 1},
    {0x400, 0x40F, 1, 80},  {0x410, 0x42F, 1, 32},   {0x460, 0x481, 2, 1},  {0x48A, 0x4BF, 2, 1},
    {0x4C1, 0x4CE, 2, 1},   {0x4D0, 0x52F, 2, 1},    {0x531, 0x556, 1, 48}, {0x1E00, 0x1E95, 2, 1},
    {0x1EA0, 0x1EFF, 2, 1}, {0xFF21, 0xFF3A, 1, 32},
};

static unsigned int fold(unsigned int c)
{
    size_t i;

    for (i = 0; i < sizeof(capitals) / sizeof(capitals[0]) && c >= capitals[i].first; i++) {
        if (c <= capitals[i].last &&
            (c - capitals[i].first) % (unsigned int)capitals[i].step == 0) {
            return (unsigned int)((int)c + capitals[i].by);
        }
    }
    return c;
}

/* What stands between words: all of ASCII but letters and digits, signs and general punctuation,
 * that of the East and its wide forms. */
static int is_between(unsigned int c)
{
    if (c < 0x80) {
        return !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'));
    }
    return (c < 0xC0 && c != 0xAA && c != 0xB5 && c != 0xBA) || c == 0xD7 || c == 0xF7 ||
           (c >= 0x2000 && c <= 0x206F) || (c >= 0x20A0 && c <= 0x20CF) ||
           (c >= 0x2190 && c <= 0x27BF) || (c >= 0x3000 && c <= 0x3004) ||
           (c >= 0x3008 && c <= 0x3020) || (c >= 0xFE30 && c <= 0xFE4F) ||
           (c >= 0xFF01 && c <= 0xFF0F) || (c >= 0xFF1A && c <= 0xFF20) || c == 0xFEFF ||
           c == 0xFFFD;
}

/* ---- words ---- */

/* Takes the last one back when it is there already. */
static void keep_once(cs_words_t *words)
{
    int i;

    for (i = 0; i < words->n; i++) {
        if (!strcmp(words->word[i], words->word[words->n])) {
            return;
        }
    }
    words->n++;
}

void cs_store_words_add(cs_words_t *words, const char *text, int max)
{
    unsigned int c = ' ';
    int end = words->n + max, len, full, n;
    char utf8[4];

    end = end < CS_WORDS_MAX ? end : CS_WORDS_MAX;
    while (text && c && words->n < end) {
        for (len = full = 0; (c = next_char(&text)) != 0 && !is_between(c);) {
            n = put_char(utf8, fold(c));
            full |= len + n > CS_WORD_LEN;
            if (!full) {
                memcpy(words->word[words->n] + len, utf8, (size_t)n);
                len += n;
            }
        }
        words->word[words->n][len] = '\0';
        if (len) {
            keep_once(words);
        }
    }
}

void cs_store_words_id(cs_words_t *words, const char *id)
{
    char *to;
    int i;

    if (!id || !*id || strlen(id) > CS_WORD_LEN || words->n >= CS_WORDS_MAX) {
        return;
    }
    to = words->word[words->n];
    for (i = 0; id[i]; i++) {
        to[i] = (char)(id[i] >= 'A' && id[i] <= 'Z' ? id[i] + 32 : id[i]);
    }
    to[i] = '\0';
    keep_once(words);
}

void cs_store_words_of_deal(cs_words_t *words, const cs_deal_t *deal)
{
    words->n = 0;
    cs_store_words_add(words, deal->title, CS_TITLE_WORDS);
    cs_store_words_id(words, deal->referral_id);
    cs_store_words_id(words, deal->engagement_id);
    cs_store_words_id(words, deal->record_id);
}

const char *cs_store_words_first(const cs_words_t *words, const char *beginning)
{
    size_t len = strlen(beginning);
    const char *first = NULL;
    int i;

    for (i = 0; i < words->n; i++) {
        if (!strncmp(words->word[i], beginning, len) &&
            (!first || strcmp(words->word[i], first) < 0)) {
            first = words->word[i];
        }
    }
    return first;
}

/* 8-4-4-4-12 hexadecimal digits as far as it goes, and further than the first hyphen. */
static int is_guid_beginning(const char *text)
{
    int i;

    for (i = 0; text[i]; i++) {
        if (i == 8 || i == 13 || i == 18 || i == 23) {
            if (text[i] != '-') {
                return 0;
            }
        }
        else if (i >= 36 || !strchr("0123456789abcdefABCDEF", text[i])) {
            return 0;
        }
    }
    return i > 9;
}

void cs_store_words_of_search(cs_words_t *words, const char *text)
{
    char one[CS_WORD_LEN + 1];
    size_t len;

    words->n = 0;
    text += strspn(text, " \t\r\n");
    for (len = strlen(text); len && strchr(" \t\r\n", text[len - 1]); len--) {
    }
    if (len <= CS_WORD_LEN) {
        memcpy(one, text, len);
        one[len] = '\0';
        if (is_guid_beginning(one)) {
            cs_store_words_id(words, one);
            return;
        }
    }
    cs_store_words_add(words, text, CS_TITLE_WORDS);
}
