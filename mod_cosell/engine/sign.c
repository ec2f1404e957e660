/* engine/sign.c: a notice that comes in is a sign of life of whoever sent it.
 *
 * An upstream that did not answer is asked after pauses that grow; when it tells us something, that
 * is a better moment than any of these. It holds for one that does not answer, and only for that: a
 * suspended one answers, and refuses for a reason (a secret, a role, a quota of the day) that no
 * notice changes, while each further sign-in with a bad secret may lock its account, and each
 * question counts against the quota. */
#include "../base/gauge.h"
#include "lane.h"

#define NOT_BEFORE apr_time_from_sec(10)

static apr_int64_t heard_of(const cs_lane_t *lane, int upstream)
{
    int site = cs_gauge_site(lane->site->name);
    int at = cs_gauge_upstream(site, cs_lane_upstream(lane, upstream));

    return at < 0 ? 0 : cs_gauge_get(CS_GAUGE_HEARD, site, at);
}

static void take_sign(cs_lane_t *lane, int upstream)
{
    cs_lane_breaker_t *breaker = &lane->breaker[upstream];
    cs_lane_sign_t *sign = &lane->sign[upstream];
    apr_int64_t heard = heard_of(lane, upstream);
    int new = heard != sign->heard;

    if (!breaker->open) {
        sign->heard = heard;
    }
    else if (new && (!sign->asked || cs_time_boot() - sign->asked >= NOT_BEFORE)) {
        sign->heard = heard;
        sign->asked = breaker->probe = cs_time_boot();
    }
}

void cs_lane_take_signs(cs_lane_t *lane)
{
    int i;

    for (i = 0; i <= lane->site->ncrms; ++i) {
        take_sign(lane, i < lane->site->ncrms ? i : CS_LANE_PC);
    }
}
