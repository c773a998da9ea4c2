import { defineConfig } from "vitest/config";

/** Pictures of every state, for the eye: into screenshots/, which is not committed. */
export default defineConfig({
  test: {
    include: ["browser/screenshots.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    fileParallelism: false,
  },
});
