/* base/crash.h: named instants at which the test build can die. (design 8)
 *
 * COSELL_TEST_CRASH=name:n makes the n-th passage of the process through CS_CRASH_POINT("name") a
 * kill -9 of itself. Without -DCS_TEST the macro is empty, and `make lint` proves that the shipped
 * object knows neither the variable nor a name.
 */
#ifndef CS_BASE_CRASH_H
#define CS_BASE_CRASH_H

#ifdef CS_TEST
void cs_crash_point(const char *name);
#define CS_CRASH_POINT(name) cs_crash_point(name)
#else
#define CS_CRASH_POINT(name) ((void)0)
#endif

#endif
