#!/usr/bin/env bash
# Installs what the tests need besides Python and make, as far as Debian has it. Says what it lacks.
set -euo pipefail
sudo=""
[ "$(id -u)" = 0 ] || sudo=sudo
missing=()
need() { command -v "$1" >/dev/null || missing+=("${@:2}"); }
need chromium chromium fonts-noto-core fonts-noto-cjk fonts-thai-tlwg
need chromedriver chromium-driver
need mvn maven
need java openjdk-17-jre-headless
need openssl openssl
need c++ g++
need cmake cmake
need objdump binutils
if [ ${#missing[@]} -gt 0 ]; then
  echo "== Debian's packages: ${missing[*]}"
  $sudo apt-get update -q >/dev/null
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}" >/dev/null
fi
