/* engine/job_kinds.c: which jobs there are. A file of its own, so that the simulation can have
 * others. */
#include "job.h"

const cs_job_kind_t *const cs_job_kinds[] = {
    &cs_job_cancel,
    &cs_job_choose,
    &cs_job_create,
    &cs_job_doctor,
    &cs_job_drop,
    &cs_job_ignore,
    &cs_job_link,
    &cs_job_login,
    &cs_job_look,
    &cs_job_pause,
    &cs_job_release,
    &cs_job_resolve,
    &cs_job_resume,
    &cs_job_resync,
    &cs_job_retry,
    &cs_job_show,
    &cs_job_unlink,
    &cs_job_webhook,
    NULL,
};
