# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# The one place where the version stands; the programs get it as NTM_VERSION.
VERSION := 0.1.0
