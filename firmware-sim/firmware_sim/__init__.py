"""A terminal you can run: JT/T 808 terminals, fleets, faults, replays and load, for tests, demos and measurements.

From the command line: `python -m firmware_sim --help`.

From pytest. The fixtures `gateway` and `terminal` come with the installed package:

    import pytest
    from firmware_sim.report import Fix

    def test_a_report_is_answered(terminal):
        handset = terminal()                                       # registers and authenticates at the first report
        handset.report(Fix(time=1_700_000_000, lat=31.23, lon=121.48, speed_kmh=30))
        assert len(handset.terminal.acknowledged) == 1             # the bytes of every report answered with success

    @pytest.mark.parametrize("gateway", [{"admission": "strict"}], indirect=True)
    def test_a_stranger_is_refused(terminal):
        with pytest.raises(ConnectionError):
            terminal(name="13911112222").connect()

`gateway` is a process with a database of its own; its parameter is a dict of settings (DUBHE_… without the prefix).
Tests that want the same settings share it, so each gives its terminals names of their own, as `terminal()` does by itself.
A test that needs a gateway for itself uses `gateway.running_gateway`.
A gateway offers `to` and `http` (addresses), `get("/metrics")`, `stop()`, `log`, `data_dir`, `process`.

In Python. Everything below is sans-IO except where it says otherwise:

    report.Fix                 one position solution; report.paced(fixes, begin=, speed=) says when each is due
    terminal.Terminal          the state machine: connected, receive, tick, disconnected; next_at, hangup, finished
                               .counters, .acknowledged (the bytes of each report answered with success), .refused
    manners.Identity/Manners   who it is / how it behaves (edition, window, heartbeat, time-outs, bounds)
    faults.Faulty/Rates        the same machine on a bad road; faults.jumping for bad clocks
    roads.line_71/read_roads   lines, and detours from them
    runs.shuttle/driven        buses on them, that keep to the line or stray; truth.strays, calls, spells say what they really did
    link.hold                  drives a machine over asyncio TCP or UDP, and reconnects
    handset.Handset            drives one over a blocking socket, call by call
    fleet.Fleet/Plan           N of them from one seed; Fleet.run, Fleet.tally
    tracker.Tracker            a unit that streams NMEA; mqtt.OverMqtt puts any machine behind a broker, broker.running_broker is one
    replay.replay              a recording as a terminal; recordings.read_csv, read_gpx, read_nmea, read_frames
    load.run/Load              counts what a gateway answers, from the client's side
    gateway.running_gateway    a gateway as a process, ready when entered, drained when left
"""
