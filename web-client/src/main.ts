import { App } from "./app";
import { parseLaunch } from "./launch";

void new App(document.documentElement).run(parseLaunch(location.search));
