#!/bin/bash
# The verbs and options that `cosellctl help` knows against the man page and the completion, both ways.
set -u
cd "$(dirname "$0")/../.."
page=mod_cosell/ctl/cosellctl.1 ctl=build/cosellctl bad=0
wrong() { echo "$1"; bad=1; }

[ -x "$ctl" ] && [ -s "$page" ] || { echo "$ctl or $page is missing"; exit 1; }
completion=$($ctl completion bash)
verbs=$($ctl help | sed -n '/^Verbs/,/^$/p' | sed -n 's/^  \([a-z].*\)/\1/p' | sed -E 's/  .*//; s/ [][A-Z]+.*//; s/ bash$//' | sed 's/ *$//')
[ "$(printf '%s\n' "$verbs" | wc -l)" -ge 30 ] || wrong "only $(printf '%s\n' "$verbs" | wc -l) verbs found in cosellctl help"

options_of() { # help text -> names without dashes
    grep -oE '^  (-[a-z], )?--[a-z-]+' | grep -oE -- '--[a-z-]+' | sed 's/^--//' | sort -u
}

while read -r verb; do
    at=$(grep -E "^\.It Cm $verb( (Ar|Op|Oo|Fl|bash)|\$| [A-Z])" "$page" || { [ "$verb" = completion ] && grep '^\.It Cm completion' "$page"; })
    [ -n "$at" ] || wrong "verb \"$verb\" is not in $page"
    for option in $($ctl help $verb | options_of); do
        # Groups have verbs of the same first word behind them.
        $ctl $verb --help | grep -qE -- "--$option( |\$|\])" || continue
        printf '%s\n' "$at" | grep -qE "Fl -$option( |\$)" || wrong "--$option of \"$verb\" is not at the verb in $page"
        printf '%s\n' "$completion" | grep -E "^ *'$verb'\)" | grep -qE -- "--$option( |')" || wrong "--$option of \"$verb\" is not in the completion"
    done
    printf '%s\n' "$completion" | grep -qE "^ *'$verb'\)" || wrong "verb \"$verb\" is not in the completion"
done <<< "$verbs"

while read -r verb; do
    printf '%s\n' "$verbs" | grep -qx "$verb" || wrong "$page: verb \"$verb\" is not known"
done < <(sed -n 's/^\.It Cm //p' "$page" | sed -E 's/ (Ar|Op|Oo|Fl|bash).*//')

for option in $($ctl help | sed -n '/^Options/,$p' | options_of); do
    grep -qE "^\.It Fl (h , Fl )?-$option( |\$)" "$page" || wrong "--$option of every verb is not in $page"
done
for option in $(grep -oE 'Fl -[a-z-]+' "$page" | sed 's/Fl -//' | sort -u); do
    printf '%s\n' "$completion" | grep -qE -- "--$option( |'|\"|\)|\|)" || wrong "$page: there is no option --$option"
done

said=$(LC_ALL=C.UTF-8 nroff -mdoc -ww "$page" 2>&1 > /dev/null)
[ -z "$said" ] || wrong "groff: $said"
if command -v mandoc > /dev/null; then
    said=$(mandoc -Tlint -Wwarning "$page" 2>&1)
    [ -z "$said" ] || wrong "mandoc: $said"
fi
exit $bad
