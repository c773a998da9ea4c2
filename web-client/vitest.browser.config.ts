import { defineConfig } from "vitest/config";

/** Tests in a real Chromium, against the built page. One after the other: they share two cores. */
export default defineConfig({
  test: {
    include: ["browser/**/*.test.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    fileParallelism: false,
  },
});
