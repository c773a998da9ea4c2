import { expect, it } from "vitest";
import { backoffDelay } from "../src/backoff";

const limits = { first: 500, longest: 10_000 };

it("doubles up to the longest, and never waits less than half", () => {
  const longest = [0, 1, 2, 3, 4, 5, 50, 5_000].map((attempt) => backoffDelay(attempt, limits, 1));
  expect(longest).toEqual([500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000, 10_000]);
  expect(backoffDelay(2, limits, 0)).toBe(1_000);
});

it("spreads the clients between the two", () => {
  expect(backoffDelay(2, limits, 0.5)).toBe(1_500);
});
