// Runs before the first paint of the admin's pages: theme-first.js, and the class that unfold's styles ask for.
import "./theme-first.js";
import { show } from "./admin/theme.js";

show(document.documentElement.dataset.theme || "auto");
