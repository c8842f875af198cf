-- One body, again and again. Arguments: body file, API key, "stream" to look at the end of each reply.
-- At the end one line of JSON: replies, seconds, bytes, latency in microseconds, what went wrong.
local threads = {}

function setup(thread)
    table.insert(threads, thread)
end

function init(args)
    local file = assert(io.open(args[1], "rb"))
    wrk.method = "POST"
    wrk.body = file:read("*a")
    file:close()
    wrk.headers["Content-Type"] = "application/json"
    wrk.headers["Authorization"] = "Bearer " .. args[2]
    unfinished, refused, first_refusal = 0, 0, ""
    if args[3] == "stream" then
        function response(status, _, body)
            if status ~= 200 then
                refused = refused + 1
                if first_refusal == "" then first_refusal = body end
            elseif not string.find(body, "[DONE]", -16, true) then
                unfinished = unfinished + 1
            end
        end
    end
end

function done(summary, latency)
    local unfinished, refused, first_refusal = 0, 0, ""
    for _, thread in ipairs(threads) do
        unfinished = unfinished + thread:get("unfinished")
        refused = refused + thread:get("refused")
        first_refusal = thread:get("first_refusal")
    end
    local errors = summary.errors
    io.write(string.format(
        '{"replies": %d, "seconds": %f, "bytes": %d, "p50_us": %f, "p99_us": %f, "errors": %d, "status": %d, "unfinished": %d}\n',
        summary.requests, summary.duration / 1e6, summary.bytes, latency:percentile(50), latency:percentile(99),
        errors.connect + errors.read + errors.write + errors.timeout, errors.status, unfinished))
    if first_refusal ~= "" then io.stderr:write(first_refusal, "\n") end
end
