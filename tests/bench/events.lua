-- wrk script: each thread sends exactly QUOTA callbacks from a file of signed events, then fills in with a GET until the last answer is here,
-- so that what was sent, answered and stored can be compared to the piece.
--   EVENTS  file; per line: signature, blank, certificate URL, blank, body
--   QUOTA   callbacks per thread     PATH  of the handler     THREADS
local ffi = require("ffi")
ffi.cdef [[ typedef struct { long s; long ns; } bench_ts; int clock_gettime(int, bench_ts *);
            int getpid(void); int kill(int, int); int usleep(unsigned); ]]
local ts = ffi.new("bench_ts")
local function now() ffi.C.clock_gettime(1, ts); return tonumber(ts.s) + tonumber(ts.ns) / 1e9 end

local threads = {}
local ready = ffi.new("int[128]") -- marks seen by all: [n] thread n has all its answers, [64 + n] it has read its events

function setup(thread)
    thread:set("number", #threads)
    thread:set("address", tonumber(ffi.cast("intptr_t", ready)))
    table.insert(threads, thread)
end

function init(args)
    quota = tonumber(os.getenv("QUOTA"))
    sent, good, bad, pads, started, ended = 0, 0, 0, 0, 0, 0
    local lines, share, step = {}, 0, tonumber(os.getenv("THREADS"))
    requests = {}
    local i = 0
    for line in io.lines(os.getenv("EVENTS")) do
        if i % step == number then
            local signature, url, body = line:match("^(%S+) (%S+) (.*)$")
            requests[#requests + 1] = wrk.format("POST", os.getenv("PATH_"), {
                ["Host"] = wrk.headers["Host"] or wrk.host, ["Content-Type"] = "application/json", ["X-MS-Certificate-Url"] = url,
                ["x-ms-signature"] = "Signature " .. signature, ["X-MS-Signature-Algorithm"] = "rsa-sha256" }, body)
        end
        i = i + 1
    end
    pad = wrk.format("GET", "/pad.txt")
    ffi.cast("int *", address)[64 + number] = 1
end

-- wrk starts each thread before it prepares the next one, which takes it 60 ms on a processor the server wants as well. The answers that
-- came late for that would count as the server's, and more than once: wrk adds, for each, those it would have asked for meanwhile.
local function wait_for_all()
    local marks, all = ffi.cast("int *", address)
    repeat
        all = true
        for i = 0, tonumber(os.getenv("THREADS")) - 1 do all = all and marks[64 + i] == 1 end
        if not all then ffi.C.usleep(500) end
    until all
end

function request()
    if number == 0 and not verified then -- wrk asks the first thread once, only to look at the answer
        verified = true
        return pad
    end
    if sent == 0 then
        wait_for_all()
        started = now()
    end
    if sent < quota then
        sent = sent + 1
        return requests[(sent - 1) % #requests + 1]
    end
    return pad
end

function response(status, headers, body)
    if headers["X-Pad"] then
        pads = pads + 1
        return
    end
    if status == 200 then good = good + 1 else bad = bad + 1 end
    if good + bad == quota then
        ended = now()
        wrk.thread:stop()
        local marks, all = ffi.cast("int *", address), true
        marks[number] = 1
        for i = 0, tonumber(os.getenv("THREADS")) - 1 do all = all and marks[i] == 1 end
        if all then ffi.C.kill(ffi.C.getpid(), 2) end -- wrk's main thread sleeps through its whole duration otherwise
    end
end

function done(summary, latency, requests_)
    local good, bad, pads, first, last = 0, 0, 0, math.huge, 0
    for _, thread in ipairs(threads) do
        good = good + thread:get("good")
        bad = bad + thread:get("bad")
        pads = pads + thread:get("pads")
        first = math.min(first, thread:get("started"))
        last = math.max(last, thread:get("ended"))
    end
    local e = summary.errors
    io.write(string.format('\nBENCH {"good":%d,"bad":%d,"pads":%d,"seconds":%.6f,"p50":%.1f,"p99":%.1f,"errors":%d}\n',
        good, bad, pads, last - first, latency:percentile(50), latency:percentile(99),
        e.connect + e.read + e.write + e.timeout))
end
