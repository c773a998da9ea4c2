import { describe, expect, it } from "vitest";
import { HELD_CANDIDATES, MAX_REJECTED, Negotiator, type Candidate } from "../src/negotiation";
import { FakeConnection, settle } from "./fakes";

type Said =
  | { type: "offer" | "answer"; sdp: string }
  | { type: "candidate"; candidate: Candidate }
  | { type: "reject" };

class Side {
  readonly connection: FakeConnection;
  readonly negotiator: Negotiator;
  readonly said: Said[] = [];
  readonly problems: string[] = [];
  addedBeforeAnswer = 0;

  constructor(name: string, polite: boolean) {
    this.connection = new FakeConnection(name);
    this.negotiator = new Negotiator({
      connection: this.connection.asConnection,
      polite,
      sendDescription: (type, sdp) => this.said.push({ type, sdp }),
      sendCandidate: (candidate) => this.said.push({ type: "candidate", candidate }),
      sendReject: () => this.said.push({ type: "reject" }),
      beforeAnswer: () => {
        this.addedBeforeAnswer += 1;
        expect(this.connection.signalingState).toBe("have-remote-offer");
      },
      onProblem: (step) => this.problems.push(step),
    });
  }

  change(): void {
    this.connection.onnegotiationneeded?.();
  }
}

/** Carries everything that is said, both ways, until both are silent. */
async function converse(a: Side, b: Side): Promise<void> {
  for (let turn = 0; turn < 10; turn += 1) {
    await settle();
    const [fromA, fromB] = [a.said.splice(0), b.said.splice(0)];
    if (fromA.length + fromB.length === 0) return;
    await Promise.all([deliver(fromA, b), deliver(fromB, a)]);
  }
  throw new Error("the two never came to an end");
}

async function deliver(said: Said[], to: Side): Promise<void> {
  for (const one of said) {
    if (one.type === "reject") await to.negotiator.receiveReject();
    else if (one.type === "candidate") await to.negotiator.receiveCandidate(one.candidate);
    else await to.negotiator.receiveDescription(one.type, one.sdp);
  }
}

function candidate(text: string): Candidate {
  return { candidate: text, sdpMid: "0", sdpMLineIndex: 0, usernameFragment: "u" };
}

describe("offer and answer", () => {
  it("goes once around when one side changes the call", async () => {
    const [newcomer, resident] = [new Side("newcomer", true), new Side("resident", false)];
    newcomer.change();
    await converse(newcomer, resident);
    expect(newcomer.connection.signalingState).toBe("stable");
    expect(resident.connection.localDescription?.type).toBe("answer");
    expect(resident.addedBeforeAnswer).toBe(1);
    expect(newcomer.addedBeforeAnswer).toBe(0);
  });

  it("lets the polite side yield when both offer at once", async () => {
    const [polite, impolite] = [new Side("polite", true), new Side("impolite", false)];
    polite.change();
    impolite.change();
    await converse(polite, impolite);
    expect(polite.connection.rollbacks).toBe(1);
    expect(impolite.connection.rollbacks).toBe(0);
    expect(impolite.connection.remoteDescription?.type).toBe("answer");
    expect(polite.connection.localDescription?.type).toBe("answer");
    expect([...polite.problems, ...impolite.problems]).toEqual([]);
  });

  it("sees a collision while its own offer is still being made", async () => {
    const impolite = new Side("impolite", false);
    let open = () => {};
    impolite.connection.gate = new Promise((resolve) => (open = resolve));
    impolite.change();
    // The state is stable still, but an offer is on its way.
    expect(impolite.connection.signalingState).toBe("stable");
    await impolite.negotiator.receiveDescription("offer", "offer of the other");
    open();
    await settle();
    expect(impolite.connection.remoteDescription).toBeNull();
    expect(impolite.said.map(({ type }) => type)).toEqual(["offer"]);
  });

  it("takes an offer that comes while an answer is being applied", async () => {
    const impolite = new Side("impolite", false);
    impolite.change();
    await settle();
    let open = () => {};
    impolite.connection.gate = new Promise((resolve) => (open = resolve));
    const answered = impolite.negotiator.receiveDescription("answer", "answer of the other");
    const offered = impolite.negotiator.receiveDescription("offer", "offer of the other");
    open();
    await Promise.all([answered, offered]);
    expect(impolite.said.at(-1)?.type).toBe("answer");
    expect(impolite.problems).toEqual([]);
  });

  it("leaves the call unharmed by what cannot be applied", async () => {
    const side = new Side("side", true);
    await side.negotiator.receiveDescription("answer", "to no offer");
    await side.negotiator.receiveDescription("offer", "garbage");
    expect(side.problems).toEqual(["answer", "offer"]);
    expect(side.said.splice(0)).toEqual([{ type: "reject" }]);
    expect(side.connection.signalingState).toBe("stable");
    await side.negotiator.receiveDescription("offer", "a good one");
    expect(side.said.map(({ type }) => type)).toEqual(["answer"]);
  });
});

describe("an offer that the other side cannot take", () => {
  const taken = (side: Side) => side.said.splice(0).map(({ type }) => type);

  it("is rejected and taken back where it cannot be answered", async () => {
    const side = new Side("side", false);
    side.connection.cannotAnswer = true;
    await side.negotiator.receiveDescription("offer", "an offer");
    expect(taken(side)).toEqual(["reject"]);
    expect(side.connection.signalingState).toBe("stable");
    side.connection.cannotAnswer = false;
    await side.negotiator.receiveDescription("offer", "another");
    expect(taken(side)).toEqual(["answer"]);
  });

  it("is taken back and made again, three times in all", async () => {
    const side = new Side("side", true);
    side.change();
    await settle();
    for (let offers = 1; offers <= MAX_REJECTED; offers += 1) {
      expect(taken(side)).toEqual(["offer"]);
      await side.negotiator.receiveReject();
      await settle();
      expect(side.connection.rollbacks).toBe(offers);
    }
    expect(taken(side)).toEqual([]);
    expect(side.problems).toEqual(["describe"]);
    // A restart may try once; once anything is agreed on, all is as before.
    side.negotiator.restartIce();
    await settle();
    expect(taken(side)).toEqual(["offer"]);
    await side.negotiator.receiveDescription("answer", "an answer");
    side.change();
    await settle();
    expect(taken(side)).toEqual(["offer"]);
  });

  it("and a rejection of nothing changes nothing", async () => {
    const side = new Side("side", true);
    await side.negotiator.receiveReject();
    expect(side.connection.rollbacks).toBe(0);
    expect(side.said).toEqual([]);
  });
});

describe("candidates", () => {
  it("wait for the description, and then go in order", async () => {
    const side = new Side("side", true);
    await side.negotiator.receiveCandidate(candidate("1"));
    await side.negotiator.receiveCandidate(candidate(""));
    expect(side.connection.added).toEqual([]);
    await side.negotiator.receiveDescription("offer", "an offer");
    expect(side.connection.added.map((one) => one.candidate)).toEqual(["1", ""]);
  });

  it("are held in a bounded number", async () => {
    const side = new Side("side", true);
    for (let i = 0; i < 1_000; i += 1) await side.negotiator.receiveCandidate(candidate(String(i)));
    await side.negotiator.receiveDescription("offer", "an offer");
    expect(side.connection.added).toHaveLength(HELD_CANDIDATES);
  });

  it("of an ignored offer disturb nobody; others that fail are reported", async () => {
    const side = new Side("side", false);
    await side.negotiator.receiveDescription("offer", "a first offer");
    await side.negotiator.receiveCandidate(candidate("garbage"));
    expect(side.problems).toEqual(["candidate"]);
    side.change();
    await settle();
    await side.negotiator.receiveDescription("offer", "one that collides");
    await side.negotiator.receiveCandidate(candidate("garbage"));
    expect(side.problems).toEqual(["candidate"]);
  });

  const gathered = { candidate: "c", sdpMid: "0", sdpMLineIndex: 0, usernameFragment: "u" };
  const end = { ...gathered, candidate: "" };

  it.each([
    ["null alone", [gathered, null]],
    ["an empty candidate alone", [gathered, end]],
    ["both", [gathered, end, null]],
  ])("end once for each generation, told by %s", (_, events) => {
    const side = new Side("side", true);
    for (let generation = 0; generation < 2; generation += 1) {
      for (const event of events) side.connection.gather(event);
    }
    const told = side.said.map((one) => (one.type === "candidate" ? one.candidate.candidate : ""));
    expect(told).toEqual(["c", "", "c", ""]);
    expect(side.said[1]).toEqual({ type: "candidate", candidate: end });
  });
});

describe("restart", () => {
  it("is a new offer where the state is stable", async () => {
    const side = new Side("side", true);
    side.negotiator.restartIce();
    await settle();
    expect(side.connection.restarts).toBe(1);
    expect(side.said.map(({ type }) => type)).toEqual(["offer"]);
  });

  it("repeats the offer that still waits for its answer", async () => {
    const side = new Side("side", true);
    side.change();
    await settle();
    side.negotiator.restartIce();
    expect(side.connection.restarts).toBe(0);
    expect(side.said).toHaveLength(2);
    expect(side.said[1]).toEqual(side.said[0]);
  });
});

describe("the roles change with a new membership", () => {
  it("and hold from then on", async () => {
    const [one, other] = [new Side("one", true), new Side("other", false)];
    one.negotiator.rebind(false);
    other.negotiator.rebind(true);
    one.change();
    other.change();
    await converse(one, other);
    expect([one.connection.rollbacks, other.connection.rollbacks]).toEqual([0, 1]);
  });

  it("and an offer that was lost is told again, whichever side comes back", async () => {
    const [one, other] = [new Side("one", true), new Side("other", false)];
    one.change();
    await settle();
    one.said.splice(0); // Lost with the socket.
    one.negotiator.rebind(false);
    other.negotiator.rebind(true);
    other.negotiator.renegotiate();
    await converse(one, other);
    expect(one.connection.signalingState).toBe("stable");
    expect(other.connection.signalingState).toBe("stable");
    expect([...one.problems, ...other.problems]).toEqual([]);
  });
});

it("says nothing after it was closed", async () => {
  const side = new Side("side", true);
  let open = () => {};
  side.connection.gate = new Promise((resolve) => (open = resolve));
  const receiving = side.negotiator.receiveDescription("offer", "an offer");
  side.negotiator.close();
  open();
  await receiving;
  await side.negotiator.receiveCandidate(candidate("c"));
  side.connection.gather(null);
  expect(side.said).toEqual([]);
  expect(side.problems).toEqual([]);
});
