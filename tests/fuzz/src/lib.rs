// SPDX-License-Identifier: GPL-3.0-only

//! What those fuzz targets are made of that do not fit in one file.

pub mod reconcile;
