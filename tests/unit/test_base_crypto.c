#include "unit.h"

#include <openssl/err.h>

#include "mod_cosell/base/crypto.h"

static const char *hex(const unsigned char *b, size_t len, apr_pool_t *p)
{
    char *out = apr_palloc(p, len * 2 + 1);
    size_t i;

    for (i = 0; i < len; i++) {
        snprintf(out + i * 2, 3, "%02x", b[i]);
    }
    return out;
}

/* FIPS 180-2 and RFC 4231 vectors. */
static void test_digests(void **state)
{
    apr_pool_t *p = *state;
    unsigned char mac[CS_SHA256_LEN];

    assert_string_equal(cs_sha256_hex("abc", 3, p), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_string_equal(cs_sha256_hex(NULL, 0, p), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_ok(cs_hmac_sha256(mac, "Jefe", 4, "what do ya want for nothing?", 28));
    assert_string_equal(hex(mac, sizeof(mac), p), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    assert_ok(cs_hmac_sha256(mac, NULL, 0, NULL, 0));
    assert_string_equal(hex(mac, sizeof(mac), p), "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void test_uuids(void **state)
{
    apr_pool_t *p = *state;
    const char *a = cs_uuid4(p), *b = cs_uuid4(p);

    assert_true(cs_uuid_valid(a, strlen(a)));
    assert_string_not_equal(a, b);
    assert_int_equal(a[14], '4');
    assert_true(strchr("89ab", a[19]) != NULL);
    /* as python's uuid.uuid5(uuid.NAMESPACE_URL, ...) says */
    assert_string_equal(cs_uuid5_url("http://www.example.com/", p), "fcde3c85-2270-590f-9e7c-ee003d65e0e2");
    assert_string_equal(cs_uuid5_url("", p), "1b4db7eb-4057-5ddf-91e0-36dec72071f5");
    assert_true(cs_uuid_valid("FCDE3C85-2270-590f-9E7C-EE003D65E0E2", 36));
    assert_false(cs_uuid_valid("FCDE3C85-2270-590f-9E7C-EE003D65E0E2", 35));
    assert_false(cs_uuid_valid("FCDE3C85-2270-590f-9E7C-EE003D65E0Eg", 36));
    assert_false(cs_uuid_valid("FCDE3C8502270-590f-9E7C-EE003D65E0E2", 36));
    assert_false(cs_uuid_valid("{CDE3C85-2270-590f-9E7C-EE003D65E0E}", 36));
    assert_false(cs_uuid_valid(NULL, 36));
    assert_string_equal(cs_uuid_lower("FCDE3C85-2270-590f-9E7C-EE003D65E0E2)", 36, p), "fcde3c85-2270-590f-9e7c-ee003d65e0e2");
    assert_null(cs_uuid_lower("FCDE3C85-2270-590f-9E7C-EE003D65E0E2)", 37, p));
    assert_null(cs_uuid_lower(NULL, 0, p));
}

static void test_random_differs(void **state)
{
    unsigned char a[64], b[64];

    (void)state;
    assert_ok(cs_random(a, sizeof(a)));
    assert_ok(cs_random(b, sizeof(b)));
    assert_memory_not_equal(a, b, sizeof(a));
    assert_ok(cs_random(a, 0));
}

static void test_compare_and_wipe(void **state)
{
    apr_pool_t *p = *state, *sub;
    char secret[] = "secret";

    assert_true(cs_equal_consttime("abc", 3, "abc", 3));
    assert_false(cs_equal_consttime("abc", 3, "abd", 3));
    assert_false(cs_equal_consttime("abc", 3, "ab", 2));
    assert_true(cs_equal_consttime(NULL, 0, "", 0));
    cs_wipe(NULL, 0);
    assert_ok(apr_pool_create(&sub, p));
    cs_wipe_at_end(secret, 6, sub);
    assert_string_equal(secret, "secret");
    apr_pool_destroy(sub);
    assert_memory_equal(secret, "\0\0\0\0\0\0", 6);
}

static void test_base64(void **state)
{
    static const struct {
        const char *plain;
        const char *coded;
        const char *url;
    } cases[] = { { "", "", "" }, { "f", "Zg==", "Zg" }, { "fo", "Zm8=", "Zm8" }, { "foo", "Zm9v", "Zm9v" }, { "foob", "Zm9vYg==", "Zm9vYg" }, { "fooba", "Zm9vYmE=", "Zm9vYmE" }, { "foobar", "Zm9vYmFy", "Zm9vYmFy" }, { "\xfb\xff\xfe", "+//+", "-__-" } };
    static const char *const bad[] = { "Z", "Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Zm8", "Zm 9v", "Zm9v\n", " Zm9v", "-__-", "Zg==Zg==", "=", "====", "Z===", "Zm9v====", "Zm\x80v", "A=A=" };
    apr_pool_t *p = *state;
    const unsigned char *out;
    apr_size_t i, len;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        void *exact = unit_exact(cases[i].coded, strlen(cases[i].coded));

        assert_string_equal(cs_base64_encode(cases[i].plain, strlen(cases[i].plain), p), cases[i].coded);
        assert_string_equal(cs_base64url_encode(cases[i].plain, strlen(cases[i].plain), p), cases[i].url);
        assert_ok(cs_base64_decode(&out, &len, exact, strlen(cases[i].coded), 6, p));
        assert_int_equal(len, strlen(cases[i].plain));
        assert_memory_equal(out, cases[i].plain, len);
        free(exact);
    }
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (cs_base64_decode(&out, &len, bad[i], strlen(bad[i]), 100, p) != APR_EINVAL) {
            fail_msg("\"%s\" was accepted", bad[i]);
        }
    }
    assert_int_equal(cs_base64_decode(&out, &len, "Zm9vYmFy", 8, 5, p), APR_EINVAL);
    assert_int_equal(cs_base64_decode(&out, &len, NULL, 0, 5, p), APR_EINVAL);
}

static void test_base64_of_all_lengths(void **state)
{
    apr_pool_t *p = *state;
    unsigned char data[100];
    const unsigned char *out;
    apr_size_t n, len;
    const char *text;

    for (n = 0; n <= sizeof(data); n++) {
        assert_ok(cs_random(data, n));
        text = cs_base64_encode(data, n, p);
        assert_ok(cs_base64_decode(&out, &len, text, strlen(text), n, p));
        assert_int_equal(len, n);
        assert_memory_equal(out, data, n);
    }
}

static void test_seal(void **state)
{
    apr_pool_t *p = *state;
    unsigned char key[CS_KEY_LEN], other[CS_KEY_LEN];
    const unsigned char *sealed, *again, *plain;
    apr_size_t len, again_len, plain_len, i;
    unsigned char *copy;

    assert_ok(cs_random(key, sizeof(key)));
    assert_ok(cs_random(other, sizeof(other)));
    assert_ok(cs_seal(&sealed, &len, key, "acme\ntoken\n1", "hello", 5, p));
    assert_int_equal(len, 12 + 5 + 16);
    assert_ok(cs_seal(&again, &again_len, key, "acme\ntoken\n1", "hello", 5, p));
    assert_memory_not_equal(sealed, again, 12);
    assert_ok(cs_unseal(&plain, &plain_len, key, "acme\ntoken\n1", sealed, len, p));
    assert_int_equal(plain_len, 5);
    assert_string_equal((const char *)plain, "hello");
    assert_int_equal(cs_unseal(&plain, &plain_len, key, "acme\ntoken\n2", sealed, len, p), CS_EPARSE);
    assert_null(plain);
    assert_int_equal(cs_unseal(&plain, &plain_len, key, NULL, sealed, len, p), CS_EPARSE);
    assert_int_equal(cs_unseal(&plain, &plain_len, other, "acme\ntoken\n1", sealed, len, p), CS_EPARSE);
    for (i = 0; i < len; i++) {
        copy = apr_pmemdup(p, sealed, len);
        copy[i] ^= 1;
        assert_int_equal(cs_unseal(&plain, &plain_len, key, "acme\ntoken\n1", copy, len, p), CS_EPARSE);
        copy = unit_exact(sealed, i);
        assert_int_equal(cs_unseal(&plain, &plain_len, key, "acme\ntoken\n1", copy, i, p), CS_EPARSE);
        free(copy);
    }
    assert_ok(cs_seal(&sealed, &len, key, NULL, NULL, 0, p));
    assert_ok(cs_unseal(&plain, &plain_len, key, "", sealed, len, p));
    assert_int_equal(plain_len, 0);
    assert_int_equal(ERR_peek_error(), 0);
}

static void test_unsealed_text_is_wiped_with_its_pool(void **state)
{
    apr_pool_t *p = *state, *sub;
    unsigned char key[CS_KEY_LEN] = { 1 };
    const unsigned char *sealed, *plain;
    apr_size_t len, plain_len;

    assert_ok(cs_seal(&sealed, &len, key, "a", "hello", 5, p));
    assert_ok(apr_pool_create(&sub, p));
    assert_ok(cs_unseal(&plain, &plain_len, key, "a", sealed, len, sub));
    /* the memory goes back to the allocator of p, not to malloc: it may still be looked at */
    apr_pool_destroy(sub);
    assert_memory_equal(plain, "\0\0\0\0\0", 5);
}

static void test_key_derive(void **state)
{
    unsigned char a[CS_KEY_LEN], b[CS_KEY_LEN];

    (void)state;
    assert_ok(cs_key_derive(a, "pass", 4, "salt", 4));
    assert_ok(cs_key_derive(b, "pass", 4, "salt", 4));
    assert_memory_equal(a, b, sizeof(a));
    assert_ok(cs_key_derive(b, "pass", 4, "sali", 4));
    assert_memory_not_equal(a, b, sizeof(a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_digests),
        UNIT_TEST(test_uuids),
        UNIT_TEST(test_random_differs),
        UNIT_TEST(test_compare_and_wipe),
        UNIT_TEST(test_base64),
        UNIT_TEST(test_base64_of_all_lengths),
        UNIT_TEST(test_seal),
        UNIT_TEST(test_unsealed_text_is_wiped_with_its_pool),
        UNIT_TEST(test_key_derive),
    };

    return UNIT_RUN(tests);
}
