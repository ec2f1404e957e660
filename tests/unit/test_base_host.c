/* Which hosts are this machine. (base/host.h) */
#include "unit.h"

#include "mod_cosell/base/host.h"

static void test_loopback(void **state)
{
    static const char *const hosts[] = {"localhost", "LocalHost", "::1", "[::1]", "127.0.0.1", "127.0.0.0", "127.255.255.255"};

    (void)state;
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        if (!cs_host_is_loopback(hosts[i], strlen(hosts[i]))) {
            fail_msg("%s is loopback", hosts[i]);
        }
    }
}

static void test_elsewhere(void **state)
{
    static const char *const hosts[] = {
        "", "1", "12", "127", "127.", "127.1", "127.0.0", "127.0.0.", "127.0.0.1.", "127.0.0.256", "127.0.0.0001", "127.0.0.+1", "127.-1.0.1",
        "127..0.1", "127.evil.example", "127.0.0.1.evil", "1270.0.0.1", "128.0.0.1", "localhost.evil", "localhos", "::2", "[::1", "::1]", "[::11]",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        if (cs_host_is_loopback(hosts[i], strlen(hosts[i]))) {
            fail_msg("%s is not loopback", hosts[i]);
        }
    }
}

static void test_ends_with_its_length(void **state)
{
    (void)state;
    assert_true(cs_host_is_loopback("127.0.0.1:8080/", 9));
    assert_false(cs_host_is_loopback("127.0.0.1", 8));
    assert_true(cs_host_is_loopback("localhost:1", 9));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_loopback),
        UNIT_TEST(test_elsewhere),
        UNIT_TEST(test_ends_with_its_length),
    };

    return UNIT_RUN(tests);
}
