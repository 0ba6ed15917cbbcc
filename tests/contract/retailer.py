"""A policy with flags of a shop's own, of every type."""

from __future__ import annotations

from resilience_contracts import default_policy_text, parse_policy

FLAGS = """
flags:
  shop.express:
    variants: {shown: true, hidden: false}
    default: hidden
    off: hidden
    up_to: LIMITED
    targeting:
      - {when: {tier: {one_of: [gold, platinum]}}, serve: shown}
  shop.express_badge:
    variants: {shown: true, hidden: false}
    default: shown
    off: hidden
    prerequisites: {shop.express: [shown]}
  shop.half:
    variants: {shown: true, hidden: false}
    default: hidden
    off: hidden
    targeting:
      - {serve: {shown: 50, hidden: 50}}
  shop.banner:
    variants: {german: Willkommen, english: Welcome}
    default: german
    off: english
  shop.discount:
    variants: {gold: 12.5, none: 0}
    default: none
    off: none
    targeting:
      - {when: {tier: {one_of: [gold]}}, serve: gold}
  shop.basket_limit:
    variants: {large: 50, small: 10}
    default: large
    off: small
  shop.layout:
    variants:
      gold: {columns: 3, hero: {title: Gold, ratio: 1.5}}
      plain: {columns: 2}
    default: plain
    off: plain
    targeting:
      - {when: {tier: {one_of: [gold]}}, serve: gold}
"""

POLICY = parse_policy(default_policy_text() + FLAGS)
