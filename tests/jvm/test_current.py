#!/usr/bin/python3
"""The incident again, in what people run today: a current Spring Boot and Spring Cloud Gateway, with
Netty 4.2, on the newest Java virtual machine. The same filter, the same line."""
import sys
import tempfile

import machines
import maven
import spring
from test_spring import CACHE, CONNECTIONS, SHIM, Tap, class_of, culprits, names_the_filter, report, snapshot
from harness.verdicts import place

# Gateway and Boot of one release train.
RELEASE = {"boot.version": "4.0.7", "gateway.version": "5.0.4",
           "gateway.artifact": "spring-cloud-starter-gateway-server-webflux"}
REQUESTS = 1000
SIZE = 4096 # more than Netty reads at first, so that the first of a connection is joined of two


def check_leaking(tap, directory, java):
    gateway = spring.Gateway(CACHE, SHIM, directory, fixed=False, java=java, **RELEASE)
    try:
        wait = gateway.begin(REQUESTS, CONNECTIONS, SIZE)
        snapshot(directory, gateway.pid)
        tap.equal(wait().get("right"), REQUESTS, "all is answered rightly, also during a snapshot")
        names_the_filter(tap, snapshot(directory, gateway.pid), REQUESTS - CONNECTIONS, REQUESTS,
                         "SIGUSR1 after the load")
        gateway.stop()
        found = report(directory, gateway.pid)
        names_the_filter(tap, found, REQUESTS, REQUESTS, "at the end")
        stacks = found["java_stacks"]
        tap.claim(stacks["checked"] > 0 and stacks["wrong"] == 0, "no recognised stack was wrong", stacks)
    finally:
        gateway.close()


def check_fixed(tap, directory, java):
    gateway = spring.Gateway(CACHE, SHIM, directory, fixed=True, java=java, **RELEASE)
    try:
        tap.equal(gateway.send(REQUESTS, CONNECTIONS, SIZE).get("right"), REQUESTS,
                  "with the release added all is answered rightly")
        gateway.stop()
        found = report(directory, gateway.pid)
        tap.equal([place(g["blame"]) for g in culprits(found)], [],
                  "with the release added nobody is accused")
        table = class_of(found, "netty-bytebuf")
        tap.claim(table["live_count"] < 4 * CONNECTIONS and table["allocs"] > REQUESTS,
                  "with the release added nothing is left but what connections keep", table)
    finally:
        gateway.close()


def main():
    tap = Tap()
    try:
        found = machines.available(CACHE)
        newest = max(found)
        tap.note(f"JDK {newest}: {found[newest]}")
        for check in (check_leaking, check_fixed):
            with tempfile.TemporaryDirectory(prefix="bufleak-jvm.") as directory:
                check(tap, directory, found[newest])
    except maven.Unavailable as why:
        tap.claim(False, "the libraries are there", why)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
