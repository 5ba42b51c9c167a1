//! Trait objects written the way RON writes enums: `Lstm(units: 512)`.
//!
//! typetag reads an externally tagged object as a map with one entry, `{"Lstm": (units: 512)}`. [`Tagged`] answers that
//! request with RON's enum syntax, which keeps line and column in errors.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, MapAccess, VariantAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A shared trait object that reads and writes as `Name(field: value)`.
pub struct Tagged<O: ?Sized>(pub Arc<O>);

/// A trait object that knows the name it is registered under.
pub trait TagName {
    /// The name of the object's type, as graph files write it.
    fn tag(&self) -> &'static str;
}

/// Implements [`TagName`] for a trait under `#[typetag::serde]`.
#[macro_export]
macro_rules! tagged {
    ($trait:ident) => {
        impl $crate::config::tagged::TagName for dyn $trait {
            fn tag(&self) -> &'static str {
                self.typetag_name()
            }
        }
    };
}
pub(crate) use tagged;

impl<O: ?Sized> Clone for Tagged<O> {
    fn clone(&self) -> Self {
        Tagged(self.0.clone())
    }
}

impl<O: ?Sized> Deref for Tagged<O> {
    type Target = O;
    fn deref(&self) -> &O {
        &self.0
    }
}

impl<O: ?Sized + fmt::Debug> fmt::Debug for Tagged<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<O: ?Sized + TagName + erased_serde::Serialize> Serialize for Tagged<O> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Fields<'a, O: ?Sized>(&'a O);
        impl<O: ?Sized + erased_serde::Serialize> Serialize for Fields<'_, O> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                erased_serde::serialize(self.0, serializer)
            }
        }
        serializer.serialize_newtype_variant("Tagged", 0, self.0.tag(), &Fields(&*self.0))
    }
}

impl<'de, O: ?Sized> Deserialize<'de> for Tagged<O>
where
    Box<O>: Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<O>::deserialize(MapAsEnum(deserializer)).map(|object| Tagged(object.into()))
    }
}

/// Answers whatever is asked with an enum, seen as a map of one entry.
struct MapAsEnum<D>(D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for MapAsEnum<D> {
    type Error = D::Error;
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_enum("", &[], EnumAsMap(visitor))
    }
    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

struct EnumAsMap<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for EnumAsMap<V> {
    type Value = V::Value;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }
    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(OneEntry { access: Some(access), variant: None })
    }
}

struct OneEntry<A, V> {
    access: Option<A>,
    variant: Option<V>,
}

impl<'de, A: EnumAccess<'de>> MapAccess<'de> for OneEntry<A, A::Variant> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        let Some(access) = self.access.take() else { return Ok(None) };
        let (key, variant) = access.variant_seed(BareWord(seed))?;
        self.variant = Some(variant);
        Ok(Some(key))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let variant = self.variant.take().expect("a map's value is asked for after its key");
        variant.newtype_variant_seed(seed)
    }
}

/// RON reads a bare word only as an identifier; typetag's seed asks for a string.
struct BareWord<T>(T);

impl<'de, K: DeserializeSeed<'de>> DeserializeSeed<'de> for BareWord<K> {
    type Value = K::Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<K::Value, D::Error> {
        self.0.deserialize(BareWord(deserializer))
    }
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for BareWord<D> {
    type Error = D::Error;
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_identifier(visitor)
    }
    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}
