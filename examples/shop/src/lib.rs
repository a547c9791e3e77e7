//! The shop: order, stock, points.
