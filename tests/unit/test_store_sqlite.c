/* What only the SQLite store can get wrong: its files, its locks, its disk. */
#include "unit_store.h"

#include "unit_disk.h"

#include "mod_cosell/store/sqlite_impl.h"

/* ---- helpers ---- */

static const char *db_of(const cs_store_config_t *cfg, apr_pool_t *p)
{
    return in_state(cfg, "cosell.db", p);
}

/* The first column of a query, in a connection of its own. */
static sqlite3_int64 ask(const cs_store_config_t *cfg, const char *sql, apr_pool_t *p)
{
    sqlite3_stmt *st;
    sqlite3_int64 n;
    sqlite3 *db;

    assert_int_equal(sqlite3_open(db_of(cfg, p), &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    n = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    sqlite3_close(db);
    return n;
}

static void tamper(const char *path, const char *sql)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static apr_status_t try_notice(cs_store_t *store, apr_pool_t *p, cs_result_t *res)
{
    return accept_one(store, make_notice(p, "pc:a", T0), p, res);
}

static void assert_refused(cs_store_t *store, apr_status_t wanted, const char *word, apr_pool_t *p)
{
    cs_result_t res;

    assert_int_equal(try_notice(store, p, &res), wanted);
    assert_string_equal(res.problem, word);
    assert_has(res.detail, "cosell.db");
}

static void move(const char *from, const char *to)
{
    assert_int_equal(rename(from, to), 0);
}

/* ---- files that go and come ---- */

static void test_database_moved_away_and_back(void **state)
{
    apr_pool_t *p = *state;
    cs_store_config_t *cfg = make_state(p);
    cs_store_t *store = open_store(cfg, CS_STORE_WRITER, p),
               *other = open_store(cfg, CS_STORE_WRITER, p);
    cs_store_t *reader = open_store(cfg, CS_STORE_READER, p);
    const char *db = db_of(cfg, p), *away = in_state(cfg, "away", p);
    cs_result_t res;

    notice(store, "pc:a", T0, p);
    notice(other, "pc:a", T0, p);
    assert_ok(cs_store_check(reader, p, &res));
    move(db, away);
    assert_refused(store, CS_EMISSING, "store:missing", p);
    assert_refused(store, CS_EMISSING, "store:missing", p);
    assert_int_equal(cs_store_check(reader, p, &res), CS_EMISSING);
    assert_false(exists(db));
    /* A handle that never saw it makes no new one either. */
    assert_refused(open_store(cfg, CS_STORE_WRITER, p), CS_EMISSING, "store:missing", p);
    assert_false(exists(db));
    move(away, db);
    notice(store, "pc:a", T0, p);
    notice(other, "pc:a", T0, p);
    assert_int_equal(counts_of(reader, SITE, p).deliveries, 4);
}

static void test_directory_moved_away_and_back(void **state)
{
    apr_pool_t *p = *state;
    cs_store_config_t *cfg = make_state(p);
    cs_store_t *store = open_store(cfg, CS_STORE_WRITER, p);
    const char *away = apr_pstrcat(p, cfg->state_dir, ".away", NULL);
    cs_result_t res;

    notice(store, "pc:a", T0, p);
    move(cfg->state_dir, away);
    assert_int_equal(try_notice(store, p, &res), CS_EMISSING);
    assert_has(res.detail, cfg->state_dir);
    /* An empty directory in its place, such as the mount point of a disk that went, is not a new
     * beginning. */
    assert_int_equal(mkdir(cfg->state_dir, 0700), 0);
    assert_refused(store, CS_EMISSING, "store:missing", p);
    assert_false(exists(db_of(cfg, p)));
    remove_tree(cfg->state_dir);
    move(away, cfg->state_dir);
    notice(store, "pc:a", T0, p);
    assert_int_equal(counts_of(store, SITE, p).deliveries, 2);
}

static void test_damaged_file_until_a_good_one_is_back(void **state)
{
    apr_pool_t *p = *state;
    cs_store_config_t *cfg = make_state(p);
    cs_store_t *store = open_store(cfg, CS_STORE_WRITER, p),
               *reader = open_store(cfg, CS_STORE_READER, p);
    const char *db = db_of(cfg, p), *away = in_state(cfg, "away", p),
               *foreign = in_state(cfg, "foreign", p);
    static const char garbage[] =
        "this is not a database, and it is longer than a hundred bytes, because a header "
        "of a database is at least as long as that";
    cs_result_t res;

    notice(store, "pc:a", T0, p);
    move(db, away);
    write_file(db, garbage, sizeof(garbage));
    assert_refused(store, CS_ECORRUPT, "store:corrupt", p);
    assert_int_equal(cs_store_check(reader, p, &res), CS_ECORRUPT);
    assert_refused(open_store(cfg, CS_STORE_WRITER, p), CS_ECORRUPT, "store:corrupt", p);
    write_file(db, "", 0);
    assert_refused(store, CS_ECORRUPT, "store:corrupt", p);
    unlink(db);
    tamper(foreign, "CREATE TABLE other(a); INSERT INTO other VALUES(1)");
    move(foreign, db);
    assert_refused(store, CS_ECORRUPT, "store:corrupt", p);
    unlink(db);
    assert_int_equal(mkdir(db, 0700), 0);
    assert_refused(store, CS_ECORRUPT, "store:corrupt", p);
    rmdir(db);
    move(away, db);
    notice(store, "pc:a", T0, p);
    assert_int_equal(counts_of(reader, SITE, p).deliveries, 2);
}

static void overwrite(const char *path, off_t at, const void *data, size_t len)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, data, len, at), len);
    close(fd);
}

/* From another process: closing a file here would drop the locks SQLite has on it. */
static void overwrite_from_outside(const char *path, off_t at, const void *data, size_t len)
{
    pid_t pid = fork();

    if (!pid) {
        overwrite(path, at, data, len);
        child_exit(0);
    }
    assert_int_equal(end_of(pid), 0);
}

static void test_damage_in_place_is_noticed_and_healed(void **state)
{
    apr_pool_t *p = *state;
    cs_store_config_t *cfg = make_state(p);
    cs_store_t *store = open_store(cfg, CS_STORE_WRITER, p);
    const char *db = db_of(cfg, p);

    notice(store, "pc:a", T0, p);
    overwrite_from_outside(db, 0, "garbage!", 8);
    assert_refused(store, CS_ECORRUPT, "store:corrupt", p);
    assert_refused(store, CS_ECORRUPT, "store:corrupt", p);
    overwrite_from_outside(db, 0, "SQLite f", 8);
    notice(store, "pc:a", T0, p);
    assert_int_equal(counts_of(store, SITE, p).deliveries, 2);
}

static void test_damaged_page_is_damage(void **state)
{
    apr_pool_t *p = *state;
    cs_store_config_t *cfg = make_state(p);
    cs_store_t *store = open_store(cfg, CS_STORE_WRITER, p);
    unsigned char junk[4096];
    sqlite3_int64 page;

    notice(store, "pc:a", T0, p);
    cs_store_close(store);
    page = ask(cfg, "SELECT rootpage FROM sqlite_schema WHERE name='work'", p);
    memset(junk, 0xA5, sizeof(junk));
    overwrite(db_of(cfg, p), (off_t)(page - 1) * 4096, junk, sizeof(junk));
    assert_refused(store, CS_ECORRUPT, "store:corrupt", p);
}

/* A process that writes `rounds` groups of 64 and dies, leaving its log behind. */
static void write_and_die(const cs_store_config_t *cfg, const char *name, int rounds, apr_pool_t *p)
{
    const cs_notice_t *group[64];
    cs_store_t *store;
    cs_result_t res;
    pid_t pid = fork();
    int i, j;

    if (!pid) {
        store = open_store(cfg, CS_STORE_WRITER, p);
        for (i = 0; i < rounds; i++) {
            for (j = 0; j < 64; j++) {
                group[j] = make_notice(p, name, T0);
            }
            if (cs_store_accept(store, group, 64, p, &res)) {
                child_exit(1);
            }
        }
        child_exit(0);
    }
    assert_int_equal(end_of(pid), 0);
}

static int is_whole(const cs_store_config_t *cfg, apr_pool_t *p)
{
    return ask(cfg, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check='ok'", p) ==
           1;
}

static void test_older_copy_does_not_get_the_log_of_the_newer_file(void **state)
{
    apr_pool_t *p = *state;
    cs_store_config_t *cfg = make_state(p);
    cs_store_t *store = open_store(cfg, CS_STORE_WRITER, p);
    const char *db = db_of(cfg, p), *wal = in_state(cfg, "cosell.db-wal", p),
               *copy = in_state(cfg, "copy", p);

    notice(store, "pc:old", T0, p);
    cs_store_close(store);
    copy_file(db, copy);
    /* Enough for a checkpoint, so that the copy lacks what the log no longer has. */
    write_and_die(cfg, "pc:new", 400, p);
    assert_true(exists(wal));
    move(copy, db);
    captured_clear();
    notice(store, "pc:later", T0, p);
    assert_int_equal(captured_lines(CS_LOG_WARNING), 1);
    assert_has(captured.last[CS_LOG_WARNING], "was set aside as");
    assert_int_equal(counts_of(store, SITE, p).deliveries, 2);
    assert_int_equal(ask(cfg, "SELECT count(*) FROM work WHERE name='pc:new'", p), 0);
    assert_true(is_whole(cfg, p));
}

static void test_copy_of_the_very_file_keeps_its_log(void **state)
{
    apr_pool_t *p = *state;
    cs_store_config_t *cfg = make_state(p);
    cs_store_t *store = open_store(cfg, CS_STORE_WRITER, p);
    const char *db = db_of(cfg, p), *copy = in_state(cfg, "copy", p);

    notice(store, "pc:old", T0, p);
    write_and_die(cfg, "pc:new", 400, p);
    notice(store, "pc:old", T0, p);
    copy_file(db, copy);
    unlink(db);
    assert_refused(store, CS_EMISSING, "store:missing", p);
    move(copy, db);
    captured_clear();
    notice(store, "pc:later", T0, p);
    assert_int_equal(captured_lines(CS_LOG_WARNING), 0);
    assert_int_equal(counts_of(store, SITE, p).deliveries, 64 * 400 + 3);
    assert_int_equal(ask(cfg, "SELECT wanted FROM work WHERE name='pc:new'", p), 64 * 400);
    assert_true(is_whole(cfg, p));
}

static void test_log_of_a_dead_process_is_used(void **state)
{
    apr_pool_t *p = *state;
    cs_store_config_t *cfg = make_state(p);
    cs_store_t *store;
    pid_t pid = fork();

    if (!pid) {
        notice(open_store(cfg, CS_STORE_WRITER, p), "pc:a", T0, p);
        /* Whatever follows, nobody closes the store. */
        child_exit(0);
    }
    assert_int_equal(end_of(pid), 0);
    assert_true(exists(in_state(cfg, "cosell.db-wal", p)));
    store = open_store(cfg, CS_STORE_WRITER, p);
    assert_int_equal(counts_of(store, SITE, p).deliveries, 1);
}

static void test_node_is_made_again_beside_a_database(void **state)
{
    apr_pool_t *p = *state;
    cs_store_config_t *cfg = make_state(p);
    cs_result_t res;

    notice(open_store(cfg, CS_STORE_WRITER, p), "pc:a", T0, p);
    assert_true(exists(in_state(cfg, "node", p)));
    unlink(in_state(cfg, "node", p));
    assert_ok(cs_store_check(open_store(cfg, CS_STORE_WRITER, p), p, &res));
    assert_true(exists(in_state(cfg, "node", p)));
    write_file(in_state(cfg, "node", p), "nonsense", 8);
    {
        const char *id;

        assert_int_equal(cs_store_node(open_store(cfg, CS_STORE_WRITER, p), &id, p, &res),
                         CS_ECORRUPT);
    }
}

static void test_half_made_database_is_made_anew(void **state)
{
    apr_pool_t *p = *state;
    cs_store_config_t *cfg = make_state(p);

    write_file(in_state(cfg, "cosell.db.new", p), "half", 4);
    write_file(in_state(cfg, "cosell.db.new-journal", p), "half", 4);
    notice(open_store(cfg, CS_STORE_WRITER, p), "pc:a", T0, p);
    assert_false(exists(in_state(cfg, "cosell.db.new", p)));
}

/* ---- versions ---- */

static void test_newer_major_is_refused_newer_minor_is_not(void **state)
{
    apr_pool_t *p = *state;
    cs_store_config_t *cfg = make_state(p);
    cs_store_t *store = open_store(cfg, CS_STORE_WRITER, p),
               *reader = open_store(cfg, CS_STORE_READER, p);
    cs_result_t res;

    notice(store, "pc:a", T0, p);
    assert_ok(cs_store_check(reader, p, &res));
    tamper(db_of(cfg, p), "UPDATE meta SET text='2.0' WHERE name='schema'");
    assert_refused(store, CS_ESCHEMA, "store:schema", p);
    assert_int_equal(cs_store_check(reader, p, &res), CS_ESCHEMA);
    assert_has(res.detail, "2.0");
    assert_refused(open_store(cfg, CS_STORE_WRITER, p), CS_ESCHEMA, "store:schema", p);
    tamper(db_of(cfg, p), "UPDATE meta SET text='1.7' WHERE name='schema'");
    notice(store, "pc:a", T0, p);
    assert_ok(cs_store_check(reader, p, &res));
    assert_int_equal(ask(cfg, "SELECT text='1.7' FROM meta WHERE name='schema'", p), 1);
    tamper(db_of(cfg, p), "DELETE FROM meta WHERE name='schema'");
    assert_refused(store, CS_ECORRUPT, "store:corrupt", p);
}

static void test_additive_columns_do_not_disturb_an_open_handle(void **state)
{
    apr_pool_t *p = *state;
    cs_store_config_t *cfg = make_state(p);
    cs_store_t *store = open_store(cfg, CS_STORE_WRITER, p);

    notice(store, "pc:a", T0, p);
    tamper(db_of(cfg, p),
           "ALTER TABLE work ADD COLUMN more TEXT; ALTER TABLE delivery ADD COLUMN more TEXT");
    notice(store, "pc:a", T0, p);
    assert_int_equal(counts_of(store, SITE, p).deliveries, 2);
}

/* ---- the disk ---- */

static void test_each_fault_has_its_name_and_passes(void **state)
{
    static const struct {
        disk_e fault;
        apr_status_t rv;
        const char *word;
    } faults[] = {
        {DISK_FULL, CS_EFULL, "store:full"},
        {DISK_BROKEN, CS_EIO, "store:io"},
        {DISK_READONLY, CS_EREADONLY, "store:readonly"},
    };
    apr_pool_t *p = *state;
    cs_store_config_t *cfg = make_state(p);
    cs_store_t *store = open_store(cfg, CS_STORE_WRITER, p);
    size_t i;

    notice(store, "pc:a", T0, p);
    for (i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        disk_set(faults[i].fault);
        assert_refused(store, faults[i].rv, faults[i].word, p);
        assert_refused(store, faults[i].rv, faults[i].word, p);
        disk_set(DISK_GOOD);
        notice(store, "pc:a", T0, p);
    }
    assert_int_equal(counts_of(store, SITE, p).deliveries, 4);
}

static void test_every_accept_is_synced(void **state)
{
    apr_pool_t *p = *state;
    cs_store_t *store = new_store(p);
    int before, i;

    notice(store, "pc:a", T0, p);
    for (i = 0; i < 10; i++) {
        before = atomic_load(&disk_syncs);
        notice(store, "pc:a", T0, p);
        assert_true(atomic_load(&disk_syncs) > before);
    }
}

/* Runs fn in a child without root's privileges; its value is the exit status. */
static int as_nobody(int (*fn)(const cs_store_config_t *cfg), const cs_store_config_t *cfg)
{
    pid_t pid = fork();

    if (!pid) {
        if (!geteuid() && (setgid(65534) || setuid(65534))) {
            child_exit(99);
        }
        child_exit(fn(cfg));
    }
    return end_of(pid);
}

static int accept_readonly(const cs_store_config_t *cfg)
{
    apr_pool_t *p;
    cs_store_t *store;
    cs_result_t res;

    apr_pool_create(&p, NULL);
    if (cs_store_open(&store, cfg, CS_STORE_WRITER, p, &res)) {
        return 1;
    }
    return accept_one(store, make_notice(p, "pc:a", T0), p, &res) == CS_EREADONLY ? 0 : 2;
}

static void test_permissions_are_told_apart(void **state)
{
    apr_pool_t *p = *state;
    cs_store_config_t *cfg = make_state(p);
    const char *above = unit_dir(p);
    int i;

    if (!geteuid()) {
        /* The way there must be open for somebody else. */
        for (i = 0; i < 2; i++) {
            chmod(above, 0755);
        }
    }
    chmod(cfg->state_dir, 0500);
    i = as_nobody(accept_readonly, cfg);
    chmod(cfg->state_dir, 0700);
    assert_int_equal(i, 0);
    notice(open_store(cfg, CS_STORE_WRITER, p), "pc:a", T0, p);
    chmod(cfg->state_dir, 0555);
    chmod(db_of(cfg, p), 0444);
    i = as_nobody(accept_readonly, cfg);
    chmod(cfg->state_dir, 0700);
    assert_int_equal(i, 0);
}

static void test_network_file_systems_are_refused(void **state)
{
    (void)state;
    assert_string_equal(cs_store_fs_refused(0x6969, "nfs4"), "nfs");
    assert_string_equal(cs_store_fs_refused(0xFF534D42, "cifs"), "cifs");
    assert_string_equal(cs_store_fs_refused((unsigned long)(long)(int)0xFF534D42, "cifs"), "cifs");
    assert_string_equal(cs_store_fs_refused(0xFE534D42, "smb3"), "smb2");
    assert_string_equal(cs_store_fs_refused(0x65735546, "fuse.sshfs"), "fuse.sshfs");
    assert_null(cs_store_fs_refused(0x65735546, "fuse.ntfs-3g"));
    assert_null(cs_store_fs_refused(0x65735546, NULL));
    assert_null(cs_store_fs_refused(0xEF53, "ext4"));
    assert_null(cs_store_fs_refused(0x01021994, "tmpfs"));
    assert_true(cs_store_fs_volatile(0x01021994));
    assert_false(cs_store_fs_volatile(0xEF53));
}

/* ---- locks ---- */

static void test_a_held_lock_is_busy_within_its_time(void **state)
{
    apr_pool_t *p = *state;
    cs_store_config_t *cfg = make_state(p);
    cs_store_t *store = open_store(cfg, CS_STORE_WRITER, p);
    apr_interval_time_t began;
    cs_result_t res;
    holder_t h;

    notice(store, "pc:a", T0, p);
    h = holder_start(in_state(cfg, "store.lock", p));
    began = cs_time_mono();
    assert_int_equal(try_notice(store, p, &res), CS_EBUSY);
    assert_string_equal(res.problem, "store:busy");
    assert_has(res.detail, "store.lock");
    assert_true(cs_time_mono() - began >= CS_SQLITE_BUSY);
    assert_true(cs_time_mono() - began < CS_SQLITE_BUSY + 2 * SEC);
    /* Looking waits for nobody. */
    assert_int_equal(counts_of(store, SITE, p).deliveries, 1);
    holder_stop(&h);
    notice(store, "pc:a", T0, p);
}

static void test_a_lock_goes_with_its_holder(void **state)
{
    apr_pool_t *p = *state;
    cs_store_config_t *cfg = make_state(p);
    cs_store_t *store = open_store(cfg, CS_STORE_WRITER, p);
    holder_t h;

    notice(store, "pc:a", T0, p);
    h = holder_start(in_state(cfg, "store.lock", p));
    kill(h.pid, SIGKILL);
    assert_int_equal(end_of(h.pid), -1);
    close(h.quit);
    notice(store, "pc:a", T0, p);
}

static void test_a_handle_does_not_cross_a_fork(void **state)
{
    apr_pool_t *p = *state;
    cs_store_config_t *cfg = make_state(p);
    cs_store_t *store = open_store(cfg, CS_STORE_WRITER, p);
    const sqlite3 *parents;
    pid_t pid;
    int i;

    notice(store, "pc:a", T0, p);
    parents = ((cs_sqlite_t *)store)->db;
    assert_non_null(parents);
    pid = fork();
    if (!pid) {
        for (i = 0; i < 20; i++) {
            notice(store, "pc:child", T0, p);
        }
        /* It was not even closed, so its address is not free. */
        child_exit(((cs_sqlite_t *)store)->db == parents);
    }
    for (i = 0; i < 20; i++) {
        notice(store, "pc:parent", T0, p);
    }
    assert_int_equal(end_of(pid), 0);
    assert_int_equal(counts_of(store, SITE, p).deliveries, 41);
    assert_int_equal(ask(cfg, "SELECT wanted FROM work WHERE name='pc:child'", p), 20);
}

/* Does anybody hold the turnstile, byte 0 of the file? */
static int is_turnstile_held(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    struct flock fl;

    memset(&fl, 0, sizeof(fl));
    fl.l_type = F_WRLCK;
    fl.l_whence = SEEK_SET;
    fl.l_len = 1;
    assert_int_equal(fcntl(fd, F_OFD_GETLK, &fl), 0);
    close(fd);
    return fl.l_type != F_UNLCK;
}

/* Who gives the lock and takes it again at once stands behind the one who waited: else a writer in
 * full flow would starve the others. */
static void test_who_waits_comes_before_who_comes_back(void **state)
{
    apr_pool_t *p = *state;
    const char *path = in_state(make_state(p), "store.lock", p);
    cs_sqlite_lock_t *lock = cs_sqlite_lock_get(path);
    int got[2];
    pid_t pid;
    char c;

    assert_int_equal(pipe2(got, O_NONBLOCK), 0);
    assert_ok(cs_sqlite_lock_take(lock, SEC, NULL));
    pid = fork();
    if (!pid) {
        lock = cs_sqlite_lock_get(path);
        if (cs_sqlite_lock_take(lock, 60 * SEC, NULL) || write(got[1], "x", 1) != 1) {
            child_exit(1);
        }
        cs_sqlite_lock_give(lock);
        child_exit(0);
    }
    WAIT_UNTIL(is_turnstile_held(path));
    assert_int_equal(read(got[0], &c, 1), -1);
    cs_sqlite_lock_give(lock);
    assert_ok(cs_sqlite_lock_take(lock, 60 * SEC, NULL));
    assert_int_equal(read(got[0], &c, 1), 1);
    cs_sqlite_lock_give(lock);
    assert_int_equal(end_of(pid), 0);
    cs_sqlite_lock_put(lock);
    close(got[0]);
    close(got[1]);
}

/* ---- rows ---- */

static void test_repeats_are_folded_by_digest(void **state)
{
    apr_pool_t *p = *state;
    cs_store_config_t *cfg = make_state(p);
    cs_store_t *store = open_store(cfg, CS_STORE_WRITER, p);
    cs_notice_t *n = make_notice(p, "pc:a", T0);
    apr_array_header_t *works;
    cs_lease_t lease;
    cs_result_t res;
    int i;

    assert_ok(cs_store_lease_take(store, SITE, NODE, 90 * SEC, T0, &lease, p, &res));
    for (i = 0; i < 3; i++) {
        n->received = T0 + i;
        assert_ok(accept_one(store, n, p, &res));
        notice(store, "pc:b", T0, p);
    }
    assert_ok(cs_store_claim(store, &lease, T0, 10, &works, p, &res));
    assert_int_equal(ask(cfg, "SELECT count(*) FROM delivery", p), 4);
    assert_int_equal(ask(cfg, "SELECT max(repeats) FROM delivery", p), 2);
    assert_true(ask(cfg, "SELECT max(last) FROM delivery", p) == T0 + 2);
    /* A repeat that is the last row: its id is free again, and the next delivery is looked at all
     * the same. */
    assert_ok(accept_one(store, n, p, &res));
    assert_ok(cs_store_claim(store, &lease, T0, 10, &works, p, &res));
    assert_ok(accept_one(store, n, p, &res));
    assert_ok(cs_store_claim(store, &lease, T0, 10, &works, p, &res));
    assert_int_equal(ask(cfg, "SELECT count(*) FROM delivery", p), 4);
    assert_int_equal(ask(cfg, "SELECT max(repeats) FROM delivery", p), 4);
    /* The same bytes at another site are another delivery. */
    n->site = "other";
    assert_ok(accept_one(store, n, p, &res));
    assert_ok(cs_store_claim(store, &lease, T0, 10, &works, p, &res));
    assert_int_equal(ask(cfg, "SELECT count(*) FROM delivery WHERE site='other'", p), 1);
    assert_int_equal(counts_of(store, SITE, p).deliveries, 8);
}

static void test_delivery_keeps_what_came(void **state)
{
    apr_pool_t *p = *state;
    cs_store_config_t *cfg = make_state(p);
    cs_store_t *store = open_store(cfg, CS_STORE_WRITER, p);
    cs_notice_t *n = make_notice(p, "crm:1", T0);
    cs_result_t res;

    n->body = "{\"a\":1}";
    n->problem = "odd";
    n->digest = "00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff";
    APR_ARRAY_PUSH(n->names, const char *) = "crm:2";
    assert_ok(accept_one(store, n, p, &res));
    assert_int_equal(
        ask(cfg,
            "SELECT count(*) FROM delivery WHERE site='main' AND source='pc' AND "
            "event='referral-updated'"
            " AND received=1760000000000000 AND kind='look' AND names='crm:1'||char(10)||'crm:2'"
            " AND problem='odd' AND body='{\"a\":1}'"
            " AND "
            "lower(hex(digest))='00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff'",
            p),
        1);
}

static int is_allowed_scan(const char *plan)
{
    /* By rowid from one end with a LIMIT, small tables, or an index alone. */
    return strstr(plan, "USING COVERING INDEX work_due") || !strcmp(plan, "SCAN total") ||
           !strcmp(plan, "SCAN suspended") || strstr(plan, "SUBQUERY") || strstr(plan, "SCAN w") ||
           strstr(plan, "(subquery-");
}

/* No query looks at every row of a table that grows. */
static void test_no_query_scans_a_large_table(void **state)
{
    static const struct {
        const char *id, *sql;
    } statements[] = {
#define STATEMENT(id, sql) {#id, sql},
        CS_SQLITE_STATEMENTS(STATEMENT)
#undef STATEMENT
    };
    apr_pool_t *p = *state;
    cs_store_config_t *cfg = make_state(p);
    const char *plan, *query;
    sqlite3_stmt *st;
    sqlite3 *db;
    size_t i;

    notice(open_store(cfg, CS_STORE_WRITER, p), "pc:a", T0, p);
    assert_int_equal(sqlite3_open(db_of(cfg, p), &db), SQLITE_OK);
    for (i = 0; i < sizeof(statements) / sizeof(statements[0]); i++) {
        query = apr_pstrcat(p, "EXPLAIN QUERY PLAN ", statements[i].sql, NULL);
        assert_int_equal(sqlite3_prepare_v2(db, query, -1, &st, NULL), SQLITE_OK);
        while (sqlite3_step(st) == SQLITE_ROW) {
            plan = (const char *)sqlite3_column_text(st, 3);
            if (strstr(statements[i].id, "_OLD") &&
                strstr(statements[i].sql, "ORDER BY id LIMIT")) {
                continue;
            }
            if (strstr(plan, "SCAN") && !is_allowed_scan(plan)) {
                fail_msg("%s: %s", statements[i].id, plan);
            }
            /* JOBS_DUE: what people have asked for and is not done. WORK_DUE, WORK_FOLDABLE: a
             * portion. */
            if (strstr(plan, "TEMP B-TREE") && strcmp(statements[i].id, "WORK_LIST_ANY") &&
                strcmp(statements[i].id, "JOBS_DUE") && strcmp(statements[i].id, "WORK_DUE") &&
                strcmp(statements[i].id, "WORK_COUNT_ALL") &&
                strcmp(statements[i].id, "WORK_FOLDABLE")) {
                fail_msg("%s: %s", statements[i].id, plan);
            }
        }
        sqlite3_finalize(st);
    }
    sqlite3_close(db);
}

static void test_reader_is_ended_in_time(void **state)
{
    apr_pool_t *p = *state;
    cs_store_config_t *cfg = make_state(p);
    cs_store_t *reader = open_store(cfg, CS_STORE_READER, p);
    apr_interval_time_t began;
    cs_store_counts_t counts;
    cs_result_t res;

    notice(open_store(cfg, CS_STORE_WRITER, p), "pc:a", T0, p);
    tamper(
        db_of(cfg, p),
        "DROP TABLE suspended; CREATE VIEW suspended AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL "
        "SELECT x+1 FROM n) SELECT x AS site,x AS upstream,x AS class,x AS problem,x AS detail,"
        "x AS since,x AS probe FROM n");
    {
        apr_array_header_t *list;

        began = cs_time_mono();
        assert_int_equal(cs_store_suspended(reader, "x", &list, p, &res), CS_ETIMEOUT);
        assert_true(cs_time_mono() - began < CS_SQLITE_READ_LIMIT + SEC);
    }
    assert_ok(cs_store_counts(reader, SITE, &counts, p, &res));
    assert_int_equal(counts.deliveries, 1);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        UNIT_TEST(test_database_moved_away_and_back),
        UNIT_TEST(test_directory_moved_away_and_back),
        UNIT_TEST(test_damaged_file_until_a_good_one_is_back),
        UNIT_TEST(test_damage_in_place_is_noticed_and_healed),
        UNIT_TEST(test_damaged_page_is_damage),
        UNIT_TEST(test_older_copy_does_not_get_the_log_of_the_newer_file),
        UNIT_TEST(test_copy_of_the_very_file_keeps_its_log),
        UNIT_TEST(test_log_of_a_dead_process_is_used),
        UNIT_TEST(test_node_is_made_again_beside_a_database),
        UNIT_TEST(test_half_made_database_is_made_anew),
        UNIT_TEST(test_newer_major_is_refused_newer_minor_is_not),
        UNIT_TEST(test_additive_columns_do_not_disturb_an_open_handle),
        UNIT_TEST(test_each_fault_has_its_name_and_passes),
        UNIT_TEST(test_every_accept_is_synced),
        UNIT_TEST(test_permissions_are_told_apart),
        UNIT_TEST(test_network_file_systems_are_refused),
        UNIT_TEST(test_a_held_lock_is_busy_within_its_time),
        UNIT_TEST(test_a_lock_goes_with_its_holder),
        UNIT_TEST(test_a_handle_does_not_cross_a_fork),
        UNIT_TEST(test_who_waits_comes_before_who_comes_back),
        UNIT_TEST(test_repeats_are_folded_by_digest),
        UNIT_TEST(test_delivery_keeps_what_came),
        UNIT_TEST(test_no_query_scans_a_large_table),
        UNIT_TEST(test_reader_is_ended_in_time),
    };

    cs_log_set(capture_line, capture_all, &captured);
    if (disk_install() != SQLITE_OK) {
        return 2;
    }
    return UNIT_RUN(tests);
}
