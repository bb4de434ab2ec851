-- wrk's script: load.lua METHOD FILE [PAUSE [BODY]]. The paths of the requests
-- are the lines of FILE; PAUSE is the most milliseconds that a connection
-- rests before each of them (0: none). Ends with one line of JSON.

local requests, at, pause = {}, 0, 0

function init(args)
	math.randomseed(os.time())
	pause = tonumber(args[3] or "0")
	for path in io.lines(args[2]) do
		requests[#requests + 1] = wrk.format(args[1], path, nil, args[4])
	end
	at = math.random(#requests)
	if pause > 0 then
		delay = function() return math.random(0, pause) end
	end
end

function request()
	at = at % #requests + 1
	return requests[at]
end

function done(summary, latency)
	local e = summary.errors
	io.write(string.format(
		'\n{"requests": %d, "microseconds": %d, "bytes": %d, "p50": %d, "p99": %d, "max": %d, ' ..
		'"failed": %d}\n', summary.requests, summary.duration, summary.bytes,
		latency:percentile(50), latency:percentile(99), latency.max,
		e.connect + e.read + e.write + e.status + e.timeout))
end
