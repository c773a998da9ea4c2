import { beforeEach, describe, expect, it } from "vitest";
import { CONNECT_TIMEOUT, GRACE, IceRecovery, MAX_RESTARTS, SECOND_SIDE_DELAY } from "../src/recovery";
import { FakeTimers } from "./fakes";

let timers: FakeTimers;
let restarts: number;
let givenUp: number;
let canSignal: boolean;

beforeEach(() => {
  timers = new FakeTimers();
  restarts = givenUp = 0;
  canSignal = true;
});

function recovery(first = true): IceRecovery {
  return new IceRecovery({
    restart: () => (restarts += 1),
    giveUp: () => (givenUp += 1),
    canSignal: () => canSignal,
    isFirst: () => first,
    timers,
    random: () => 1,
  });
}

describe("a path that falters", () => {
  it("has a moment to return by itself", async () => {
    const one = recovery();
    one.onState("connected");
    one.onState("disconnected");
    await timers.advance(GRACE - 1);
    one.onState("connected");
    await timers.advance(60_000);
    expect(restarts).toBe(0);
  });

  it("is restarted after that, and at once when it failed", async () => {
    const one = recovery();
    one.onState("connected");
    one.onState("disconnected");
    await timers.advance(GRACE);
    expect(restarts).toBe(1);

    const other = recovery();
    other.onState("connected");
    other.onState("failed");
    await timers.advance(0);
    expect(restarts).toBe(2);
  });

  it("is left to the first side for a while", async () => {
    const second = recovery(false);
    second.onState("connected");
    second.onState("failed");
    await timers.advance(SECOND_SIDE_DELAY - 1);
    expect(restarts).toBe(0);
    await timers.advance(1);
    expect(restarts).toBe(1);
  });

  it("is left to the other side as long as that one is at work", async () => {
    const second = recovery(false);
    second.onState("connected");
    second.onState("disconnected");
    for (let i = 0; i < 3; i += 1) {
      await timers.advance(GRACE);
      second.remoteOffered();
    }
    expect(restarts).toBe(0);
    await timers.advance(30_000);
    expect(restarts).toBeGreaterThan(0);
    // A path that stands is no concern of the recovery.
    second.onState("connected");
    second.remoteOffered();
    expect(timers.pending).toBe(0);
  });

  it("is not restarted more often because it fails again", async () => {
    const one = recovery();
    one.onState("connected");
    one.onState("disconnected");
    one.onState("failed");
    await timers.advance(0);
    one.onState("connecting");
    one.onState("failed");
    one.onState("failed");
    await timers.advance(3_999);
    expect(restarts).toBe(1);
    await timers.advance(1);
    expect(restarts).toBe(2);
  });

  it("is given up after a bounded number of restarts, and within minutes", async () => {
    const one = recovery();
    one.onState("connected");
    one.onState("failed");
    await timers.advance(3 * 60_000);
    expect(restarts).toBe(MAX_RESTARTS);
    expect(givenUp).toBe(1);
    expect(timers.pending).toBe(0);
  });

  it("counts anew after every success", async () => {
    const one = recovery();
    for (let i = 0; i < 3 * MAX_RESTARTS; i += 1) {
      one.onState("connected");
      one.onState("failed");
      await timers.advance(0);
    }
    expect(restarts).toBe(3 * MAX_RESTARTS);
    expect(givenUp).toBe(0);
  });
});

it("tries a first connection anew that does not come about", async () => {
  recovery();
  await timers.advance(CONNECT_TIMEOUT);
  expect(restarts).toBe(1);
});

it("waits with a restart until signaling is there to carry it", async () => {
  const one = recovery();
  one.onState("connected");
  canSignal = false;
  one.onState("failed");
  await timers.advance(10 * 60_000);
  expect(restarts).toBe(0);
  expect(givenUp).toBe(0);
  canSignal = true;
  one.signalingReturned();
  expect(restarts).toBe(1);
});

it("does nothing after it was stopped", async () => {
  const one = recovery();
  one.onState("closed");
  one.onState("failed");
  one.signalingReturned();
  await timers.advance(60_000);
  expect(restarts).toBe(0);
  expect(timers.pending).toBe(0);
});
