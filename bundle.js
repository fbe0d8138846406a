// Bundles static/js and static/css to static/dist. Run by `manage.py assets`; `--watch` goes on until Ctrl-C.
import { build, context } from "esbuild";

const options = {
  entryPoints: {
    app: "static/js/app.js",
    "theme-first": "static/js/theme-first.js",
    style: "static/css/app.css",
    admin: "static/js/admin.js",
    "admin-first": "static/js/admin-first.js",
    "admin-style": "static/css/admin.css",
  },
  outdir: "static/dist",
  bundle: true,
  minify: true,
  sourcemap: "linked",
  format: "esm",
  target: ["chrome123", "firefox120", "safari17.5"],
  loader: { ".woff2": "file" },
  assetNames: "fonts/[name]-[hash]",
  logLevel: "warning",
};

if (process.argv.includes("--watch")) {
  await (await context({ ...options, minify: false, logLevel: "info" })).watch();
} else {
  await build(options);
}
