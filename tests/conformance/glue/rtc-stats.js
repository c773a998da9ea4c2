// https://w3c.github.io/webrtc-pc/#rtcstatsreport-object: a readonly maplike.

const RTCStatsReportType = declare("RTCStatsReport", {
  attributes: { size: (state) => state.map.size },
  operations: {
    entries: (state) => state.map.entries(),
    forEach: {
      length: 1,
      call(state, callback, self) {
        callable(callback);
        for (const [id, stats] of state.map) callback.call(self, stats, id, state.object);
      },
    },
    get: (state, id) => state.map.get(convert.string(id)),
    has: (state, id) => state.map.has(convert.string(id)),
    keys: (state) => state.map.keys(),
    values: (state) => state.map.values(),
  },
});
{
  const { prototype } = RTCStatsReportType.object;
  const value = prototype.entries;
  define(prototype, Symbol.iterator, { value, writable: true, configurable: true });
}

/** What one of the connection's `getStats` comes to. */
function statsOf(connection, operation, argument) {
  return inParallel(`rtc.${operation}`, { connection: connection.number, argument }).then((list) =>
    create(RTCStatsReportType, { map: new Map(list.map((stats) => [stats.id, stats])) }),
  );
}
