#!/usr/bin/env python3
"""Prints the Homebrew formula of a release: built from the sources, with a service that `brew services` starts.

    python3 packaging/formula.py VERSION SOURCE_ARCHIVE URL >masv-agent.rb
"""

import hashlib
import pathlib
import sys

FORMULA = '''class MasvAgent < Formula
  desc "Watch-folder automation agent for large media files, with a self-hosted hub"
  homepage "{url}"
  url "{url}/{archive}"
  sha256 "{digest}"
  license "Apache-2.0"

  depends_on "rust" => :build

  def install
    system "cargo", "install", *std_cargo_args, "--bin", "masv"
    system bin/"masv", "man", "--to", buildpath
    man1.install Dir["*.1"]
    generate_completions_from_executable(bin/"masv", "completions")
    doc.install "docs", "README.md", "SECURITY.md", "rules.example.yaml"
  end

  # `brew services start masv-agent`; settings: masv-agent.yaml in the folder of Homebrew's settings.
  service do
    run [opt_bin/"masv", "server", "start", "--data-dir", var/"lib/masv-agent", "--config", etc/"masv-agent.yaml"]
    keep_alive successful_exit: false
    log_path var/"log/masv-agent.log"
    error_log_path var/"log/masv-agent.log"
  end

  def post_install
    (var/"lib/masv-agent").mkpath
    (etc/"masv-agent.yaml").write "# Settings of the agent: docs/settings.md\\n" unless (etc/"masv-agent.yaml").exist?
  end

  test do
    assert_match version.to_s, shell_output("#{{bin}}/masv --version")
    system bin/"masv", "rule", "init", "--output", "text"
  end
end
'''

version, archive, url = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3].rstrip("/")
digest = hashlib.sha256(archive.read_bytes()).hexdigest()
sys.stdout.write(FORMULA.format(url=url, archive=archive.name, digest=digest, version=version))
