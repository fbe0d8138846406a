// The admin's pages. unfold's markup asks for these components of Alpine; its own scripts are not served, for they
// evaluate texts, which our content security policy forbids. Alpine's CSP build parses the expressions instead.
import Alpine from "@alpinejs/csp";
import { page, search } from "./admin/page.js";
import { theme } from "./admin/theme.js";
import "./forms.js";
import "./schema_form/items.js";
import "./schema_form/selects.js";
import "./schema_form/unions.js";

Alpine.data("theme", theme);
Alpine.data("page", page);
Alpine.data("searchForm", search);
Alpine.directive("resize", () => {}); // Measures for the bar of actions, which our lists don't have.
Alpine.start();
