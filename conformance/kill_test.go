package conformance_test

const killCase, killAbout = "kill -9 under load", "x"
